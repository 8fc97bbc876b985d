"""Spans as OTLP's bytes, beside those of OpenTelemetry's own encoder."""

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from llmproxy.batteries.telemetry.tracing import otlp

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)
VALUES = st.one_of(
    TEXTS,
    st.just(""),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
)
# None without a name: OpenTelemetry's SDK leaves those out.
ATTRIBUTES = st.dictionaries(TEXTS, VALUES, max_size=30)
TIMES = st.integers(1, 2**63)
SPAN_IDS = st.integers(1, 2**64 - 1)
SPANS = st.fixed_dictionaries(
    {
        "name": TEXTS,
        "trace_id": st.integers(1, 2**128 - 1),
        "span_id": SPAN_IDS,
        "parent_id": st.none() | SPAN_IDS,
        "remote": st.booleans(),
        "state": st.sampled_from(["", "a=1", "vendor=abc,tenant@other=1"]),
        "kind": st.sampled_from(["server", "client"]),
        "times": st.tuples(TIMES, TIMES),
        "attributes": ATTRIBUTES,
        "events": st.lists(st.tuples(TEXTS, TIMES, ATTRIBUTES), max_size=3),
        "failed": st.booleans(),
    }
)
SERVICE, SCOPE = {"service.name": "gateway", "deployment.environment": "é"}, ("llmproxy", "1.2.3")


def ours(spans, resource=None):
    return otlp.RequestWriter(resource or SERVICE, SCOPE).request(
        [
            otlp.span(
                otlp.SpanIds(
                    span["trace_id"].to_bytes(16, "big"),
                    span["span_id"],
                    span["parent_id"],
                    span["remote"] and span["parent_id"] is not None,
                    span["state"],
                ),
                span["name"],
                span["kind"],
                times=span["times"],
                attributes=[otlp.recurring_attribute(*pair) for pair in span["attributes"].items()],
                events=[
                    otlp.event(name, at, [otlp.attribute(*pair) for pair in attributes.items()])
                    for name, at, attributes in span["events"]
                ],
                failed=span["failed"],
            )
            for span in spans
        ]
    )


def of_the_sdk(spans, resource=None):
    resource = Resource(resource or SERVICE)
    return encode_spans(
        [_readable(span, resource, InstrumentationScope(*SCOPE)) for span in spans]
    ).SerializePartialToString()


def _readable(span, resource, scope):
    def context(span_id, remote):
        state = TraceState.from_header([span["state"]])
        return SpanContext(span["trace_id"], span_id, remote, TraceFlags(1), state)

    return ReadableSpan(
        span["name"],
        context(span["span_id"], False),
        None if span["parent_id"] is None else context(span["parent_id"], span["remote"]),
        resource,
        span["attributes"],
        [Event(name, attributes, at) for name, at, attributes in span["events"]],
        kind=SpanKind.SERVER if span["kind"] == "server" else SpanKind.CLIENT,
        status=Status(StatusCode.ERROR if span["failed"] else StatusCode.UNSET),
        start_time=span["times"][0],
        end_time=span["times"][1],
        instrumentation_scope=scope,
    )


@given(st.lists(SPANS, min_size=1, max_size=4))
def test_the_bytes_are_those_of_opentelemetrys_encoder(spans):
    assert ours(spans) == of_the_sdk(spans)


@given(st.lists(SPANS, min_size=1, max_size=1), ATTRIBUTES.filter(bool))
def test_a_service_is_described_as_by_opentelemetrys_encoder(spans, resource):
    assert ours(spans, resource) == of_the_sdk(spans, resource)


def test_equal_values_of_other_types_are_told_apart():
    written = [otlp.recurring_attribute("x", value) for value in (1, True, 1.0)]
    assert len(set(written)) == 3


def test_half_a_character_becomes_a_question_mark():
    request = ExportTraceServiceRequest.FromString(
        otlp.RequestWriter({"service.name": "a\ud800b"}, SCOPE).request([])
    )
    [attribute] = request.resource_spans[0].resource.attributes
    assert attribute.value.string_value == "a?b"
