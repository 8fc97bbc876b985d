"""Errors as HTTP answers: in the shape of the call's dialect, with truthful retry hints.

An endpoint's own error response stays unchanged.
"""

from __future__ import annotations

from llmproxy.calls import Headers
from llmproxy.errors import (
    CallerThrottled,
    ClientError,
    CredentialRejected,
    GatewayError,
    Misconfigured,
    NoEndpoint,
    OperationRefused,
    Overload,
    QuotaExhausted,
    RequestRejected,
    Throttled,
    TooLarge,
    UpstreamError,
)
from llmproxy.operations import OPAQUE, Dialect
from llmproxy.protocols import Downstream
from llmproxy.record import CallRecord, explanation
from llmproxy.rules.headers import downstream_headers, sandboxed, vendors_id
from llmproxy.rules.retry import DEFAULT_COOLDOWN_S, client_hint

# Failures of an endpoint that a person must mend: another try cannot.
SET_ASIDE = (QuotaExhausted, CredentialRejected, Misconfigured)
# Failures that are about the call.
THE_CLIENTS_OWN = (OperationRefused, RequestRejected, TooLarge)


def error_answer(
    error: GatewayError, dialect: Dialect = OPAQUE, request_id: str = ""
) -> tuple[int, Headers, bytes]:
    """Return status, headers and body for an error of ours, in the shape of the dialect."""
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
    return error.status, headers, dialect.error_body(error, request_id)


def _hint(error: UpstreamError, headers: Headers, attempts: int) -> Headers:
    """Return what to add to the vendor's own hints."""
    if any(name == b"x-should-retry" for name, _ in headers):
        return []
    if isinstance(error, SET_ASIDE):
        return client_hint(None)  # whatever time the vendor names, a person must act first
    if any(name.startswith(b"retry-after") for name, _ in headers):
        return []
    if isinstance(error, Throttled):
        return client_hint(error.retry_after_s or DEFAULT_COOLDOWN_S)
    # No hint where the SDK's own retry is the first one, and may get past a blip.
    if attempts > 1 or isinstance(error, THE_CLIENTS_OWN):
        return client_hint(error.retry_after_s)
    return []


def send_error(
    client: Downstream, error: GatewayError, record: CallRecord, dialect: Dialect
) -> None:
    """Answer a call with its error; an endpoint's error response goes back as it came."""
    if isinstance(error, UpstreamError) and error.answer is not None:
        answer = error.answer
        status, body = answer.status, answer.body
        record.answer.request_id = vendors_id(answer.headers)
        passing = downstream_headers(answer.headers, own_limits=record.limit_headers is not None)
        headers = sandboxed(passing)
        headers.append((b"x-llmproxy-error-source", b"upstream"))
        headers += _hint(error, headers, record.attempts)
    else:
        status, headers, body = error_answer(error, dialect, record.request.id)
    headers += record.limit_headers or ()
    if record.attempts:
        headers.append((b"x-llmproxy-attempts", b"%d" % record.attempts))
        headers.append((b"x-llmproxy-endpoint", (record.endpoint or "").encode("latin-1")))
    if record.request.explain:
        headers.append(explanation(record))
    if record.request.id:
        named = dict(headers)
        headers += [header for header in dialect.id_of(record.request.id) if header[0] not in named]
    record.answer.status = status
    client.start(status, headers, length=len(body))
    client.write(body)
    client.finish()
