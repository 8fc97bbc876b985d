"""What an error answer means, whichever vendor gave it: each row of the facts' table."""

import gzip
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
    UpstreamError,
    UpstreamFailed,
)
from llmproxy.providers.registry import OPENAI, PROVIDERS

NOW = 1_795_000_000.0


def openai(code: str | None, message: str = "refused", kind: str = "some_error") -> bytes:
    error = {"message": message, "type": kind, "param": None, "code": code}
    return json.dumps({"error": error}).encode()


def anthropic(kind: str, message: str = "refused") -> bytes:
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}}).encode()


def understood(status: int, body: bytes = b"", **headers: str) -> UpstreamError:
    lines = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    failure = OPENAI.failure(Answer(status, lines, body), endpoint="east", wall_now=NOW)
    assert failure is not None
    return failure


BILLING = [
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "billing_error",
    "billing_hard_limit_reached",
    "billing_not_active",
]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (429, "rate_limit_exceeded", Throttled),
        (429, "slow_down", Throttled),
        (503, "slow_down", Throttled),
        (429, None, Throttled),
        *[(429, code, QuotaExhausted) for code in BILLING],
        (503, "server_is_overloaded", Overloaded),
        (503, None, Overloaded),
        (529, None, Overloaded),
        (408, None, UpstreamFailed),
        (409, None, UpstreamFailed),
        (500, None, UpstreamFailed),
        (502, None, UpstreamFailed),
        (504, None, UpstreamFailed),
        (520, None, UpstreamFailed),
        (400, "context_length_exceeded", RequestRejected),
        (400, "content_filter", RequestRejected),
        (413, None, TooLarge),
        (401, "invalid_api_key", CredentialRejected),
        (403, None, CredentialRejected),
        (404, "model_not_found", Misconfigured),
        (404, "DeploymentNotFound", Misconfigured),
        (404, None, RequestRejected),
        (400, "invalid_value", RequestRejected),
        (422, None, RequestRejected),
        (405, None, RequestRejected),
        (501, "not_supported_error", RequestRejected),
        (418, "who_knows", RequestRejected),
        (599, "who_knows", UpstreamFailed),
    ],
)
def test_status_and_code_say_what_it_is(status, code, kind):
    for body in (openai(code), b"" if code is None else openai(None, kind=code)):
        failure = understood(status, body)
        assert type(failure) is kind
        assert failure.status == status
        assert failure.endpoint == "east"
        assert failure.answer is not None
        assert failure.answer.body == body


@pytest.mark.parametrize("status", [200, 204, 302, 399])
def test_below_400_there_is_no_failure(status):
    assert OPENAI.failure(Answer(status, [], b""), endpoint="east", wall_now=NOW) is None


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (529, anthropic("overloaded_error"), Overloaded),
        (500, anthropic("overloaded_error"), Overloaded),
        (429, anthropic("rate_limit_error"), Throttled),
        (401, anthropic("authentication_error"), CredentialRejected),
        (400, anthropic("invalid_request_error"), RequestRejected),
        (
            400,
            anthropic("invalid_request_error", "Your credit balance is too low to access the API"),
            QuotaExhausted,
        ),
        (402, b'{"error": {"message": "Insufficient credits", "code": 402}}', QuotaExhausted),
        (404, b'{"error": "model \'llama9\' not found, try pulling it first"}', Misconfigured),
        (
            404,
            b'{"object": "error", "message": "The model `m` does not exist.", "code": 404}',
            Misconfigured,
        ),
        (404, b'[{"error": {"code": 404, "message": "models/x is not found"}}]', RequestRejected),
        (400, openai("content_filter")[:-2] + b', "innererror": {"code": "X"}}}', RequestRejected),
        (498, b"", Overloaded),
        (401, b'{"statusCode": 401, "message": "Access denied"}', CredentialRejected),
        (404, b'{"detail": "Not Found"}', OperationRefused),
    ],
)
def test_other_vendors_shapes_are_understood(status, body, kind):
    assert type(understood(status, body)) is kind


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_provider_understands_a_429(provider):
    answer = Answer(429, [(b"retry-after", b"3")], openai("rate_limit_exceeded"))
    failure = provider.failure(answer, endpoint="e", wall_now=NOW)
    assert type(failure) is Throttled
    assert failure.retry_after_s == 3.0


def test_slow_down_can_be_told_from_other_429s():
    assert understood(429, openai("slow_down")).code == "slow_down"
    assert understood(429, openai("rate_limit_exceeded")).code != "slow_down"


def test_the_wait_is_read_from_headers_and_else_from_the_words():
    words = openai(None, "Please retry after 86400 seconds.")
    assert understood(429, words).retry_after_s == 86400.0
    assert understood(429, words, retry_after="2").retry_after_s == 2.0
    assert understood(429, openai(None)).retry_after_s is None
    assert understood(503, openai(None), retry_after="9").retry_after_s == 9.0


def test_a_compressed_error_is_understood_too():
    body = gzip.compress(openai("insufficient_quota"))
    assert type(understood(429, body, content_encoding="gzip")) is QuotaExhausted
    assert type(understood(429, b"junk", content_encoding="gzip")) is Throttled


def test_the_message_is_short_and_names_status_code_and_words():
    assert understood(429, openai("slow_down", "Too fast.")).message == (
        "status 429 slow_down: Too fast."
    )
    assert understood(502, b"<html>" + b"x" * 10_000).message.startswith("status 502: <html>")
    assert len(understood(400, openai("c" * 500, "m" * 500)).message) <= 300
    assert understood(503).message == "status 503"


def test_the_message_has_no_line_breaks_or_escapes_for_a_terminal():
    assert understood(400, openai(None, "a\r\nb\x1b[31mc")).message.isprintable()


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcDEF123456",
        "gsk_abcdef1234567890",
        "AIzaSyA-abcdefgh123",
        "0123456789abcdef0123456789abcdef",
        "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJodHRwczovL2FpIn0.c2lnbmF0dXJlMTIz",
        "sk-ab****************wxyz",
    ],
)
def test_what_looks_like_a_key_is_never_repeated(secret):
    message = understood(
        401, openai(None, f"Incorrect API key provided: {secret}. See docs.")
    ).message
    assert secret not in message
    assert "Incorrect API key provided: ***" in message


def test_a_message_is_masked_before_it_is_cut():
    def mask(text):
        return text.replace(b"hunter2", b"***")

    for before in ("key ", "x" * 290):
        answer = Answer(401, [], openai(None, f"{before}hunter2 is wrong"))
        failure = OPENAI.failure(answer, endpoint="e", wall_now=NOW, mask=mask)
        assert failure is not None
        assert "hun" not in failure.message


def test_plain_words_stay_readable():
    words = (
        "max_completion_tokens and organization_spend_limit_exceeded in this_is_a_long_identifier"
    )
    assert words in understood(400, openai(None, words)).message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "code", "type", "message", "detail", "innererror", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(
    st.integers(400, 599),
    st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()),
)
def test_no_body_raises_and_every_error_status_is_a_failure(status, body):
    failure = understood(status, body)
    assert failure.message.startswith(f"status {status}")
    assert len(failure.message) <= 300
