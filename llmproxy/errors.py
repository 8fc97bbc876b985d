"""What goes wrong, and whose side it came from.

`ConfigError` belongs to the operator and is raised before anything starts. Everything that can
end a call is a `GatewayError`: a `ClientError` (the client's own), an `UpstreamError` (one failed
attempt at one endpoint) or a `NoEndpoint` (no attempt was left, or none was possible).
Adapters translate foreign exceptions into these once; `app.py` renders them once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

Source = Literal["proxy", "upstream"]
Phase = Literal["pool", "connect", "first byte", "idle", "total"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a config: where it stands, what was found, what to do."""

    file: str
    line: int  # 1-based; 0 when no line is known
    found: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.found} {self.remedy}"


class ConfigError(Exception):
    """A config cannot be used. Carries every problem at once, in the order of their lines."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class GatewayError(Exception):
    """A call ends without the answer it asked for.

    `status` is the HTTP status that the client gets; `code` and `kind` are the `error.code` and
    `error.type` of OpenAI's error shape.
    """

    source: ClassVar[Source] = "proxy"
    status: int = 500
    code: str | None = None
    kind: str = "server_error"
    param: str | None = None

    def __init__(self, message: str, *, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if status is not None:
            self.status = status
        if code is not None:
            self.code = code


class ClientError(GatewayError):
    """The request itself cannot be served, here or elsewhere (4xx, and 501 for what is to come)."""

    status = 400
    kind = "invalid_request_error"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message, status=status, code=code)
        self.param = param


class Overload(GatewayError):
    """The proxy itself is full or draining; `retry_after_s` says when to come back."""

    status = 503
    code = "proxy_overloaded"

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class CallerThrottled(GatewayError):
    """A caller has used up a limit of its own; `retry_after_s` says when there is room again.

    `kind`: `requests` or `tokens`, as OpenAI says which limit it was.
    """

    status = 429
    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, kind: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after_s = retry_after_s


CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
SHUTTING_DOWN = "The proxy is shutting down."  # so are streams told, too


class ShuttingDown(Overload):
    """The proxy ends before it could answer; another instance, or the next process, can."""

    code = "proxy_shutting_down"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole upstream answer, kept so that a refusal can be passed on unchanged."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes = field(repr=False)


class UpstreamError(GatewayError):
    """One attempt at one endpoint failed.

    `sent`: the endpoint may have begun to work on the request (its first byte was written).
    `retry_after_s`: what the endpoint itself asked for, in seconds; None if it said nothing.
    `answer`: what it answered, if it answered at all.
    """

    source: ClassVar[Source] = "upstream"
    reason: ClassVar[str] = "failed"  # a bounded label for metrics, logs and traces
    status = 502
    code = "upstream_error"

    def __init__(
        self,
        message: str,
        *,
        endpoint: str = "",
        sent: bool = True,
        retry_after_s: float | None = None,
        answer: Answer | None = None,
    ) -> None:
        super().__init__(message)
        self.endpoint = endpoint
        self.sent = sent
        self.retry_after_s = retry_after_s
        self.answer = answer
        if answer is not None:
            self.status = answer.status


class ConnectFailed(UpstreamError):
    """No connection: refused, unreachable, DNS or TLS failure. Nothing was sent."""

    reason = "connect_failed"
    code = "upstream_unreachable"

    def __init__(self, message: str, *, endpoint: str = "") -> None:
        super().__init__(message, endpoint=endpoint, sent=False)


class TimedOut(UpstreamError):
    """The endpoint was silent for too long; `phase` says in which wait."""

    reason = "timeout"
    status = 504
    code = "upstream_timeout"

    def __init__(
        self, message: str, *, phase: Phase, endpoint: str = "", sent: bool = True
    ) -> None:
        super().__init__(message, endpoint=endpoint, sent=sent)
        self.phase: Phase = phase


class UpstreamFailed(UpstreamError):
    """A 5xx (or 408, 409), a reset, a malformed or incomplete answer."""

    reason = "server_error"


class Throttled(UpstreamError):
    """429 because of a rate: this endpoint has room again after `retry_after_s`."""

    reason = "throttled"


class QuotaExhausted(UpstreamError):
    """429 because of money: a person must act; this credential is of no use for a while."""

    reason = "quota_exhausted"


class Overloaded(UpstreamError):
    """503 or 529: the vendor has too much to do; also as an early event of a 200 stream."""

    reason = "overloaded"


class CredentialRejected(UpstreamError):
    """401 or 403: our credential for this endpoint is wrong."""

    reason = "credential_rejected"


class Misconfigured(UpstreamError):
    """404 for the model or the deployment: this endpoint does not have what config says."""

    reason = "misconfigured"


class RequestRejected(UpstreamError):
    """The client's own mistake (400, 404, 413, 422, content filter): passed on unchanged."""

    reason = "request_rejected"


class StreamBroken(UpstreamError):
    """The stream ended early, after the commit point: no other endpoint may be tried."""

    reason = "stream_broken"
    code: str = "upstream_stream_interrupted"


@dataclass(frozen=True, slots=True)
class Skipped:
    """An endpoint that was not tried for a call, and why."""

    endpoint: str
    why: str


class NoEndpoint(GatewayError):
    """No endpoint could answer. Names each one tried or skipped, and why; never a secret.

    `retry_after_s`: when the first endpoint is expected back, in seconds; None = more tries
    cannot help.
    """

    code = "no_endpoint_available"
    status = 503

    def __init__(
        self,
        group: str,
        failures: list[UpstreamError],
        skipped: list[Skipped],
        *,
        retry_after_s: float | None,
    ) -> None:
        self.group = group
        self.failures = failures
        self.skipped = skipped
        self.retry_after_s = retry_after_s
        told = [f"{failure.endpoint}: {failure.message}" for failure in failures]
        told += [f"{skip.endpoint}: skipped, {skip.why}" for skip in skipped]
        super().__init__(f"No endpoint of '{group}' could answer. " + "; ".join(told))
