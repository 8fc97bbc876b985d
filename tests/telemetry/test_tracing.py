"""The spans of a finished call, and the bounded queue of calls that wait for the collector."""

import random
import uuid
from time import monotonic, sleep

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.trace import TraceState

import llmproxy
from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.telemetry.tracing.names import endpoint_labels, operation_name
from llmproxy.batteries.telemetry.tracing.otlp import RequestWriter
from llmproxy.batteries.telemetry.tracing.spans import spans_of as spans_of_call
from llmproxy.batteries.telemetry.tracing.trace_context import valid_state
from llmproxy.batteries.telemetry.tracing.tracer import open_tracer
from llmproxy.calls import TraceContext
from llmproxy.events import CallFinished
from llmproxy.operations import Usage
from llmproxy.steps import Attempt, AttemptOutcome, PassedOver, Verdict
from tests.support.collector import collector
from tests.support.finished import finished_call

MAX_PENDING_CALLS = 10_000

ANSWERED, FAILED = AttemptOutcome.ANSWERED, AttemptOutcome.FAILED
NEXT = Verdict.NEXT_ENDPOINT
CONFIG = """\
model_groups:
  - model_group: gpt-4.1
    models:
      - name: east
        model: gpt-4.1-east
        params: {base_url: "https://east.openai.azure.com/openai/v1/", api_key: k-12345678}
      - {name: google, provider: gemini, params: {api_key: k-12345678}}
      - {name: mistral, provider: mistral, params: {api_key: k-12345678}}
      - {name: own, params: {base_url: "http://10.0.0.7:8000/v1", api_key: k-12345678}}
general_settings:
  tracing: {endpoint: "http://127.0.0.1:4318"}
"""
TRACE = TraceContext(f"{2**127 + 1:x}", 10, 5, 1, "a=1")
# Arrived at 100 on the clock of the steps, which is Unix time 1000.
FINISHED = {
    "ended_at": 1004.0,
    "received_at": 100.0,
    "id": "req_1",
    "line": "POST /v1/chat/completions",
    "group": "gpt-4.1",
    "endpoint": "east",
    "status": 200,
    "attempts": 1,
    "first_byte_s": 2.0,
    "total_s": 4.0,
    "overhead_s": 0.25,
    "usage": Usage(10, 20, 5),
    "error": None,
    "operation": "chat/completions",
    "steps": [Attempt("east", 100.75, 1.25, ANSWERED, 200)],
    "model": "gpt-4.1",
    "trace": TRACE,
}


def call(**more):
    return finished_call(**FINISHED | more)


def tracer_to(where, environ=None):
    config = parse_config(
        CONFIG.replace("http://127.0.0.1:4318", where.endpoint), {}, file="f.yaml"
    )
    settings = config.general_settings.tracing
    return open_tracer(config, settings, environ or {}, draw_bits=random.Random(1).getrandbits)


def spans_of(*calls):
    """Return the spans that a collector got of these calls."""
    with collector() as seen:
        tracer = tracer_to(seen)
        for event in calls:
            tracer.call_finished(event)
        tracer.close()
    return seen.spans


def test_spans_have_unix_times():
    own, attempt = spans_of(call())
    assert (own.began_at, own.ended_at) == (1000, 1004)
    assert (attempt.began_at, attempt.ended_at) == (1000.75, 1004)


def test_a_failed_attempt_ends_when_it_failed():
    failed = Attempt("east", 101.0, 0.5, FAILED, 429, "throttled", NEXT)
    _, attempt = spans_of(call(steps=[failed], status=503, error="x", usage=None))
    assert (attempt.began_at, attempt.ended_at) == (1001, 1001.5)


def test_span_ids_are_those_that_the_endpoints_received():
    steps = [
        Attempt("own", 101.0, 0.5, FAILED, 500),
        Attempt("east", 102.0, 0.5, ANSWERED, 200),
    ]
    own, first, second = spans_of(call(steps=steps))
    spans = own, first, second
    assert {span.trace_id for span in spans} == {"8" + "0" * 30 + "1"}
    assert [int(span.id, 16) for span in spans] == [10, 11, 12]
    assert [int(span.parent_id, 16) for span in spans] == [5, 10, 10]
    assert [span.parent_is_remote for span in spans] == [True, False, False]
    assert {span.state for span in spans} == {"a=1"}


def test_waiting_is_neither_an_attempt_nor_overhead():
    own, _ = spans_of(call())
    # 2 s to the first byte: 1.25 s of an attempt, 0.25 s overhead.
    assert own.attributes["llmproxy.waited_ms"] == 500
    assert own.attributes["llmproxy.first_byte_ms"] == 2000
    assert own.attributes["llmproxy.overhead_ms"] == 250


def test_cached_tokens_are_reported_if_there_are_any():
    name = "gen_ai.usage.cache_read.input_tokens"
    assert [span.attributes.get(name) for span in spans_of(call())] == [None, 5]
    assert [span.attributes.get(name) for span in spans_of(call(usage=Usage(10, 20)))] == [None] * 2


def test_a_skipped_endpoint_is_an_event_with_its_time():
    own, _ = spans_of(call(steps=[PassedOver("own", 100.5, "full"), *FINISHED["steps"]]))
    assert own.events == [
        ("llmproxy.skipped", {"llmproxy.endpoint": "own", "llmproxy.why": "full"})
    ]
    assert own.event_times == [1000.5]


def test_an_endpoint_that_left_the_config_has_no_address():
    _, attempt = spans_of(call(steps=[Attempt("gone", 101.0, 0.5, ANSWERED, 200)]))
    assert attempt.attributes["llmproxy.endpoint"] == "gone"
    assert "server.address" not in attempt.attributes


def test_long_values_from_a_client_are_cut():
    own, _ = spans_of(call(model="m" * 10_000, line="POST /" + "x" * 10_000))
    assert len(own.attributes["gen_ai.request.model"]) == 256
    assert len(own.attributes["url.path"]) == 256


@pytest.mark.parametrize(
    "trace", [None, TraceContext("1" * 32, 2, None, 2)], ids=["none", "not sampled"]
)
def test_a_call_that_is_not_sampled_is_not_sent(trace):
    assert spans_of(call(trace=trace)) == []


def test_providers_have_the_names_of_the_conventions():
    labels = endpoint_labels(parse_config(CONFIG, {}, file="f.yaml"))
    assert {name: endpoint.provider for (_, name), endpoint in labels.items()} == {
        "east": "azure.ai.openai",
        "google": "gcp.gemini",
        "mistral": "mistral_ai",
        "own": "generic",
    }
    own = labels["gpt-4.1", "own"]
    assert (own.address, own.port, own.model) == ("10.0.0.7", 8000, None)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("chat/completions", "chat"),
        ("responses", "chat"),
        ("completions", "text_completion"),
        ("embeddings", "embeddings"),
        ("images/generations", "images"),
        ("responses/resp_1/cancel", "responses"),
        ("files/file-abc", "files"),
    ],
)
def test_operation_names_are_few(path, name):
    assert operation_name(path) == name


def test_a_bounded_number_of_calls_waits_for_the_collector_and_the_others_are_counted(caplog):
    with collector() as seen:
        tracer = tracer_to(seen)
        event = call()
        for _ in range(MAX_PENDING_CALLS + 100):
            tracer.call_finished(event)
        assert sum("further calls are not traced" in message for message in caplog.messages) == 1
        assert 0 < tracer.lost <= 100
        lost = tracer.lost
        ends_at = monotonic() + 60
        while len(seen.spans) < 2 * (MAX_PENDING_CALLS - 300) and monotonic() < ends_at:
            sleep(0.1)
        tracer.close()
        assert len(seen.spans) == 2 * (MAX_PENDING_CALLS + 100 - lost)


def test_a_request_has_some_hundred_spans():
    with collector() as seen:
        tracer = tracer_to(seen)
        for _ in range(600):
            tracer.call_finished(call())
        tracer.close()
    assert seen.sizes == [512, 512, 176]
    assert seen.connections == 1


@pytest.mark.clock
def test_spans_are_sent_in_time_also_when_there_are_few():
    with collector() as seen:
        tracer = tracer_to(seen)
        tracer.call_finished(call())
        sleep(2)
        assert not seen.spans, "a request for each call would cost more than the call"
        tracer.call_finished(call(trace=TraceContext("1" * 32, 20, None, 1)))
        ends_at = monotonic() + 8
        while not seen.spans and monotonic() < ends_at:
            sleep(0.05)
        assert seen.sizes == [4]
        tracer.close()


def test_the_service_has_a_name_a_version_and_an_id_of_its_process():
    with collector() as seen:
        tracer = tracer_to(seen)
        tracer.call_finished(call())
        tracer.close()
    assert seen.resource == {
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "llmproxy",
        "telemetry.sdk.version": llmproxy.__version__,
        "service.instance.id": seen.resource["service.instance.id"],
        "service.name": "llmproxy",
        "service.version": llmproxy.__version__,
    }
    assert uuid.UUID(seen.resource["service.instance.id"]).version == 4


def test_a_finished_call_survives_its_transport_to_another_worker():
    packed = msgspec.msgpack.encode(call())
    assert msgspec.msgpack.decode(packed, type=CallFinished) == call()


@pytest.mark.parametrize(
    ("state", "sent"),
    [
        ("a=1", "a=1"),
        (" a=1 ,, tenant@vendor=x y\t,", "a=1,tenant@vendor=x y"),
        ("not a state at all", ""),
        ("a=1,a=2", ""),
        ("a=1,B=2", ""),
        ("a=" + "1" * 257, ""),
        (",".join(f"k{number}=1" for number in range(32)), None),
        (",".join(f"k{number}=1" for number in range(33)), ""),
    ],
)
def test_an_invalid_tracestate_is_left_out_and_not_logged(state, sent, caplog):
    spans = spans_of(call(trace=TraceContext("1" * 32, 10, 5, 1, state)))
    assert {span.state for span in spans} == {state if sent is None else sent}
    assert not caplog.messages


@given(st.text("ab=, \t@1_é", max_size=30))
def test_a_tracestate_is_read_as_opentelemetry_reads_it(state):
    assert valid_state(state) == TraceState.from_header([state]).to_header()


@given(
    st.text(st.characters(max_codepoint=255)),
    st.text(st.characters(max_codepoint=255)),
    st.text(),
)
def test_any_text_from_a_client_can_be_encoded(state, id, model):
    trace = TraceContext("1" * 32, 10, 5, 1, state)
    event = call(trace=trace, id=id, line=f"GET /{id}", model=model)
    labels = endpoint_labels(parse_config(CONFIG, {}, file="f.yaml"))
    body = RequestWriter({}, ("us", "1")).request(spans_of_call(event, trace, labels))
    encoded = ExportTraceServiceRequest.FromString(body)
    assert len(encoded.resource_spans[0].scope_spans[0].spans) == 2
