"""A vendor's error means the same as a status and as the first event of a stream."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.errors import (
    Answer,
    CredentialRejected,
    Misconfigured,
    OperationRefused,
    Overloaded,
    QuotaExhausted,
    RequestRejected,
    Throttled,
    TooLarge,
    UpstreamFailed,
)
from llmproxy.operations import CHAT, EventKind
from llmproxy.operations.rate_limits import RateLimit, RateLimits
from llmproxy.providers.base import Provider
from llmproxy.providers.error_responses import ErrorResponse
from llmproxy.providers.registry import OPENAI

NOW = 1_795_000_000.0
HEADERS = [(b"content-type", b"text/event-stream")]


def in_stream(event: bytes, provider=OPENAI, headers=HEADERS):
    stream = Answer(200, headers, event)
    failure = provider.failure(stream, endpoint="east", wall_now=NOW, event=event)
    assert failure is not None
    assert failure.answer is stream
    return failure


def as_status(status: int, body: bytes):
    failure = OPENAI.failure(Answer(status, [], body), endpoint="east", wall_now=NOW)
    assert failure is not None
    return failure


def event_of(payload: object, name: str | None = None) -> bytes:
    line = b"" if name is None else b"event: " + name.encode() + b"\n"
    return line + b"data: " + json.dumps(payload).encode() + b"\n\n"


# The vendor's status, its code and its type, and what follows from them.
OPENAI_ERRORS = [
    (429, "insufficient_quota", "insufficient_quota", QuotaExhausted),
    (429, "billing_not_active", "billing_not_active", QuotaExhausted),
    (400, "billing_hard_limit_reached", "invalid_request_error", QuotaExhausted),
    (429, "billing_hard_limit_reached", None, QuotaExhausted),
    (429, "credit_balance_exhausted", None, QuotaExhausted),
    (429, "organization_spend_limit_exceeded", None, QuotaExhausted),
    (429, "organization_usage_limit_exceeded", None, QuotaExhausted),
    (429, "project_spend_limit_exceeded", None, QuotaExhausted),
    (429, "rate_limit_exceeded", "tokens", Throttled),
    (429, "rate_limit_exceeded", "requests", Throttled),
    (429, "slow_down", "requests", Throttled),
    (503, "slow_down", "server_error", Throttled),
    (429, "too_many_requests", None, Throttled),
    (503, "server_is_overloaded", "server_error", Overloaded),
    (503, "service_unavailable", None, Overloaded),
    (503, "overloaded", None, Overloaded),
    (400, "context_length_exceeded", "invalid_request_error", RequestRejected),
    (400, "content_filter", None, RequestRejected),
    (400, "content_policy_violation", None, RequestRejected),
    (400, "invalid_prompt", "invalid_request_error", RequestRejected),
    (400, "unsupported_value", "invalid_request_error", RequestRejected),
    (400, None, "invalid_request_error", RequestRejected),
    (400, 400, "BadRequestError", RequestRejected),
    (401, "invalid_api_key", "invalid_request_error", CredentialRejected),
    (404, "model_not_found", "invalid_request_error", Misconfigured),
    (404, "DeploymentNotFound", None, Misconfigured),
    (500, None, "server_error", UpstreamFailed),
    (500, "server_error", None, UpstreamFailed),
    (500, "unheard_of", None, UpstreamFailed),
    (502, 502, None, UpstreamFailed),
    (402, 402, None, QuotaExhausted),
    (429, 429, None, Throttled),
    (504, "timeout_error", None, UpstreamFailed),
]
ANTHROPIC_ERRORS = [
    (400, "invalid_request_error", RequestRejected),
    (401, "authentication_error", CredentialRejected),
    (402, "billing_error", QuotaExhausted),
    (403, "permission_error", OperationRefused),
    (404, "not_found_error", RequestRejected),
    (413, "request_too_large", TooLarge),
    (429, "rate_limit_error", Throttled),
    (500, "api_error", UpstreamFailed),
    (504, "timeout_error", UpstreamFailed),
    (529, "overloaded_error", Overloaded),
]


@pytest.mark.parametrize(("status", "code", "kind", "meaning"), OPENAI_ERRORS)
def test_an_openai_error_means_the_same_in_both_forms(status, code, kind, meaning):
    error = {"code": code, "type": kind, "message": "It failed."}
    assert type(as_status(status, json.dumps({"error": error}).encode())) is meaning
    in_every_shape = [
        in_stream(event_of({"error": error})),
        in_stream(event_of({"error": error}, "error")),
        in_stream(event_of({"type": "response.failed", "response": {"error": error}})),
    ]
    assert {type(failure) for failure in in_every_shape} == {meaning}


@pytest.mark.parametrize(("status", "kind", "meaning"), ANTHROPIC_ERRORS)
def test_an_anthropic_error_means_the_same_in_both_forms(status, kind, meaning):
    payload = {"type": "error", "error": {"type": kind, "message": "It failed."}}
    assert type(as_status(status, json.dumps(payload).encode())) is meaning
    assert type(in_stream(event_of(payload, "error"))) is meaning


def test_an_empty_account_is_recognised_by_words_in_both_forms():
    words = "Your credit balance is too low to access the Anthropic API."
    payload = {"type": "error", "error": {"type": "invalid_request_error", "message": words}}
    assert type(as_status(400, json.dumps(payload).encode())) is QuotaExhausted
    assert type(in_stream(event_of(payload, "error"))) is QuotaExhausted


@pytest.mark.parametrize(
    "error",
    [
        {"code": "context_length_exceeded", "type": "invalid_request_error", "message": "x"},
        {"code": 400, "type": "BadRequestError", "message": "The maximum context length is 8."},
        {"type": "invalid_request_error", "message": "prompt is too long: 9 > 8 tokens"},
    ],
)
def test_a_prompt_that_is_too_long_is_named_in_both_forms(error):
    assert as_status(400, json.dumps({"error": error}).encode()).code == "context_length_exceeded"
    assert in_stream(event_of({"error": error})).code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        ({"error": {"code": "rate_limit_exceeded"}}, 429),
        ({"error": {"code": "billing_error"}}, 402),
        ({"error": {"code": "server_is_overloaded"}}, 503),
        ({"type": "error", "code": "server_is_overloaded", "message": "m"}, 503),
        ({"error": {"code": "invalid_api_key"}}, 401),
        ({"error": {"type": "permission_error"}}, 403),
        ({"error": {"code": "DeploymentNotFound"}}, 404),
        ({"error": {"type": "request_too_large"}}, 413),
        ({"error": {"code": "something_new", "type": "invalid_request_error"}}, 400),
        ({"error": {"code": "image_too_small"}}, 400),
        ({"error": {"code": 502}}, 502),
        ({"error": {"code": 429, "type": "rate"}}, 429),
        ({"error": {"code": 7}}, 500),
        ({"error": {"code": True}}, 500),
        ({"error": {"code": "new_kind", "type": "server_error"}}, 500),
        ({"error": "a text"}, 500),
        ({"type": "response.failed", "response": {}}, 500),
    ],
)
def test_an_error_event_stands_for_a_status(payload, status):
    assert in_stream(event_of(payload)).status == status


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (event_of({"error": {"code": "slow_down", "message": "Too fast."}}), "Too fast."),
        (event_of({"error": "a text"}), "a text"),
        (b"event: error\ndata: plain words\n\n", "plain words"),
        (b'{"error": {"message": "bare JSON"}}\n\n', "bare JSON"),
        (b'data: {"error":\ndata: {"message": "two lines"}}\n\n', "two lines"),
        (b"event: error\n\n", "status 500"),
    ],
)
def test_the_failure_has_the_vendors_words(event, words):
    assert words in in_stream(event).message


def test_the_wait_is_read_from_headers_and_words_of_a_stream_too():
    event = event_of({"error": {"code": "rate_limit_exceeded", "message": "try again in 2.5s"}})
    assert in_stream(event).retry_after_s == 2.5
    assert in_stream(event, headers=[(b"retry-after", b"7")]).retry_after_s == 7.0


@given(st.binary(max_size=60) | st.text('data:{}[]" \nerrochis,', max_size=60).map(str.encode))
def test_any_event_is_a_failure_and_none_raises(event):
    assert 400 <= in_stream(event).status <= 599


class Odd(Provider):
    """A vendor whose errors have a format of their own: {"oops": ["code", "words"]}."""

    def classify(self, event, dialect):
        return EventKind.ERROR if b'"oops"' in event else dialect.classify(event)

    def parse_error(self, body):
        code, words = json.loads(body)["oops"]
        return ErrorResponse((code,), words)

    def rate_limits(self, headers, *, wall_now):
        left = dict(headers).get(b"x-left")
        return None if left is None else RateLimits(RateLimit(100, float(left), None))


def test_a_provider_with_a_shape_of_its_own_sees_it_in_both_forms():
    odd = Odd("odd")
    body = json.dumps({"oops": ["insufficient_quota", "Pay."]}).encode()
    event = b"data: " + body + b"\n\n"
    assert odd.classify(event, CHAT) is EventKind.ERROR
    for failure in (
        odd.failure(Answer(429, [], body), endpoint="e", wall_now=NOW),
        in_stream(event, odd),
    ):
        assert type(failure) is QuotaExhausted
        assert "Pay." in failure.message
    assert odd.rate_limits([(b"x-left", b"3")], wall_now=NOW).requests.remaining == 3
