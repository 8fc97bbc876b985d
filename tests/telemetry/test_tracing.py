"""The spans of a finished call, and the bounded queue of calls that wait for the collector."""

import random
import threading
from time import monotonic, sleep

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.telemetry.tracing.names import endpoint_labels, operation_name
from llmproxy.batteries.telemetry.tracing.spans import SpanBuilder
from llmproxy.batteries.telemetry.tracing.tracer import Tracer
from llmproxy.calls import TraceContext
from llmproxy.events import CallFinished
from llmproxy.operations import Usage
from llmproxy.steps import Attempt, AttemptOutcome, PassedOver, Verdict
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


class Kept:
    """An exporter that keeps its spans, and blocks until it is allowed to go on."""

    def __init__(self, result=SpanExportResult.SUCCESS):
        self.result = result
        self.batches = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def export(self, spans):
        self.may_go_on.wait(10)
        self.batches.append(list(spans))
        return self.result

    def shutdown(self):
        self.may_go_on.set()

    @property
    def spans(self):
        return [span for batch in self.batches for span in batch]


def tracer_to(exporter):
    config = parse_config(CONFIG, {}, file="f.yaml")
    settings = config.general_settings.tracing
    return Tracer(config, settings, exporter, draw_bits=random.Random(1).getrandbits)


def spans_of(*calls):
    kept = Kept()
    tracer = tracer_to(kept)
    for event in calls:
        tracer.call_finished(event)
    tracer.close()
    return kept.spans


def test_spans_have_unix_times():
    own, attempt = spans_of(call())
    assert (own.start_time, own.end_time) == (1000 * 10**9, 1004 * 10**9)
    assert (attempt.start_time, attempt.end_time) == (1000.75e9, 1004 * 10**9)


def test_a_failed_attempt_ends_when_it_failed():
    failed = Attempt("east", 101.0, 0.5, FAILED, 429, "throttled", NEXT)
    _, attempt = spans_of(call(steps=[failed], status=503, error="x", usage=None))
    assert (attempt.start_time, attempt.end_time) == (1001 * 10**9, 1001.5e9)


def test_span_ids_are_those_that_the_endpoints_received():
    steps = [
        Attempt("own", 101.0, 0.5, FAILED, 500),
        Attempt("east", 102.0, 0.5, ANSWERED, 200),
    ]
    own, first, second = spans_of(call(steps=steps))
    assert {span.context.trace_id for span in (own, first, second)} == {2**127 + 1}
    assert [span.context.span_id for span in (own, first, second)] == [10, 11, 12]
    assert [span.parent.span_id for span in (own, first, second)] == [5, 10, 10]
    assert [span.parent.is_remote for span in (own, first)] == [True, False]
    assert own.context.trace_state.to_header() == "a=1"


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
    [event] = own.events
    assert (event.name, event.timestamp) == ("llmproxy.skipped", 1000.5e9)
    assert event.attributes == {"llmproxy.endpoint": "own", "llmproxy.why": "full"}


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


def test_a_bounded_number_of_calls_waits_for_the_collector(caplog):
    kept = Kept()
    tracer = tracer_to(kept)
    event = call()
    for _ in range(MAX_PENDING_CALLS + 100):
        tracer.call_finished(event)
    assert sum("further calls are not traced" in message for message in caplog.messages) == 1
    ends_at = monotonic() + 60
    while len(kept.spans) < 2 * MAX_PENDING_CALLS and monotonic() < ends_at:
        sleep(0.1)
    tracer.close()
    assert len(kept.spans) == 2 * MAX_PENDING_CALLS


def test_batches_are_small():
    kept = Kept()
    tracer = tracer_to(kept)
    for _ in range(40):
        tracer.call_finished(call())
    tracer.close()
    assert [len(batch) for batch in kept.batches] == [32, 32, 16]


def test_a_failing_export_is_logged_once_and_not_repeated(caplog):
    kept = Kept(SpanExportResult.FAILURE)
    tracer = tracer_to(kept)
    for _ in range(40):
        tracer.call_finished(call())
    tracer.close()
    assert len(kept.batches) == 3
    assert [message.partition(":")[0] for message in caplog.messages] == [
        "Traces do not reach http"
    ]


def test_a_finished_call_survives_its_transport_to_another_worker():
    packed = msgspec.msgpack.encode(call())
    assert msgspec.msgpack.decode(packed, type=CallFinished) == call()


def test_an_invalid_tracestate_is_left_out_and_not_logged(caplog):
    kept = Kept(SpanExportResult.FAILURE)
    tracer = tracer_to(kept)
    tracer.call_finished(call(trace=TraceContext("1" * 32, 10, 5, 1, "not a state at all")))
    tracer.close()
    assert [span.context.trace_state.to_header() for span in kept.spans] == ["", ""]
    assert len(caplog.messages) == 1
    assert "not a state" not in caplog.text


@given(st.text(st.characters(max_codepoint=255)), st.text(st.characters(max_codepoint=255)))
def test_any_text_from_a_client_can_be_encoded(state, id):
    maker = SpanBuilder(
        endpoint_labels(parse_config(CONFIG, {}, file="f.yaml")),
        Resource({}),
        InstrumentationScope("us"),
    )
    trace = TraceContext("1" * 32, 10, 5, 1, state)
    encoded = encode_spans(maker.of(call(trace=trace, id=id, line=f"GET /{id}"), trace))
    assert len(encoded.resource_spans[0].scope_spans[0].spans) == 2
