"""Errors as HTTP answers: OpenAI's shape, honest retry hints, upstream's own words unchanged."""

from __future__ import annotations

import msgspec

from llmproxy.calls import Headers
from llmproxy.errors import (
    CallerThrottled,
    ClientError,
    CredentialRejected,
    GatewayError,
    Misconfigured,
    NoEndpoint,
    Overload,
    QuotaExhausted,
    RequestRejected,
    UpstreamError,
)
from llmproxy.protocols import Downstream
from llmproxy.record import CallRecord, explanation
from llmproxy.rules.headers import downstream_headers
from llmproxy.rules.retry import client_hint

# What no further try can mend.
FOR_A_PERSON = (QuotaExhausted, CredentialRejected, Misconfigured, RequestRejected)


class _Body(msgspec.Struct):
    """`error` in OpenAI's shape: all four keys, always."""

    message: str
    type: str
    param: str | None
    code: str | None


def error_answer(error: GatewayError) -> tuple[int, Headers, bytes]:
    """Status, headers and body for an error of ours."""
    param = error.param if isinstance(error, ClientError) else None
    body = msgspec.json.encode({"error": _Body(error.message, error.kind, param, error.code)})
    headers: Headers = [
        (b"content-type", b"application/json"),
        (b"x-llmproxy-error-source", error.source.encode("ascii")),
    ]
    match error:
        case NoEndpoint() | Overload() | CallerThrottled():
            headers += client_hint(error.retry_after_s)
        case UpstreamError():
            headers += client_hint(None)
        case ClientError() if error.status == 401:
            headers += [(b"www-authenticate", b"Bearer"), *client_hint(None)]  # RFC 9110, 15.5.2
        case ClientError() if error.status >= 500:
            headers += client_hint(None)  # SDKs would repeat a 501 three times
        case _:
            pass
    return error.status, headers, body


def tell(client: Downstream, error: GatewayError, record: CallRecord) -> None:
    """Answer a call with its error; a refusal of the upstream's goes back as it came."""
    if isinstance(error, UpstreamError) and error.answer is not None:
        refusal = error.answer
        status, body = refusal.status, refusal.body
        headers = downstream_headers(refusal.headers, own_limits=record.limit_headers is not None)
        headers.append((b"x-llmproxy-error-source", b"upstream"))
        hinted = any(name.startswith((b"retry-after", b"x-should-retry")) for name, _ in headers)
        # Not where the SDK's own retry is the first one, and may mend a blip.
        if not hinted and (record.attempts > 1 or isinstance(error, FOR_A_PERSON)):
            headers += client_hint(error.retry_after_s)
    else:
        status, headers, body = error_answer(error)
    headers += record.limit_headers or ()
    if record.attempts:
        headers.append((b"x-llmproxy-attempts", b"%d" % record.attempts))
        headers.append((b"x-llmproxy-endpoint", (record.endpoint or "").encode("latin-1")))
    if record.request.explain:
        headers.append(explanation(record))
    if record.request.id and not any(name == b"x-request-id" for name, _ in headers):
        headers.append((b"x-request-id", record.request.id.encode("latin-1")))
    record.answer.status = status
    client.start(status, headers, length=len(body))
    client.write(body)
    client.finish()
