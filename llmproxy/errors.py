"""Everything that can go wrong, as one tree. Status and code are what the client gets.

    ConfigError                    the operator's; raised before anything starts
    GatewayError                   ends a call; 500 unless a leaf says otherwise
    ├─ ClientError                 the request cannot be served: 400, or 401 to 431 and 501 as given
    ├─ Overload                    the proxy is full: 503 proxy_overloaded
    │  ├─ ShuttingDown             503 proxy_shutting_down
    │  └─ OutOfResources           507 proxy_no_space, 503 proxy_out_of_resources
    ├─ CallerThrottled             the caller has used up a limit: 429 rate_limit_exceeded
    ├─ NoEndpoint                  no endpoint could answer: 503 no_endpoint_available, or 429, 504
    └─ UpstreamError               one attempt at one endpoint failed: 502 upstream_error,
       │                           or the status of the endpoint's answer
       ├─ ConnectFailed            nothing was sent: 502 upstream_unreachable
       ├─ TimedOut                 silent for too long: 504 upstream_timeout
       ├─ UpstreamFailed           5xx, 408, 409, a reset, a malformed answer
       │  └─ NoAnswer              a success that holds no answer: no choices, no content
       ├─ Overloaded               503, 529
       ├─ Throttled                429 because of a rate
       ├─ QuotaExhausted           429, 402 because of money
       ├─ TooLarge                 429 or 413: more than the endpoint takes at once or in a minute
       ├─ CredentialRejected       401, 403
       ├─ KeyWithheld              401, 403 where the client's own key was not sent
       ├─ Untranslatable           its API cannot say what the call says: 400 untranslatable
       ├─ OperationRefused         this operation, or a permission that only it needs
       ├─ Misconfigured            404 for the model or deployment
       │  └─ Redirected            3xx, which is never followed and never passed on
       ├─ RequestRejected          400, 404, 413, 422: the client's own mistake
       └─ StreamBroken             after the commit point: upstream_stream_interrupted

Exceptions of libraries are translated where they are caught: sockets and TLS in `upstream/`, config
files in `config_file/`. `app/rendering.py` turns a GatewayError into an answer, in the shape of the
call's dialect. What a vendor's answer means is decided in `providers/error_responses.py`.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Protocol, Self

Source = Literal["proxy", "upstream"]
# Whose trouble it is that a call failed: a label of metrics and logs.
Blame = Literal["caller_limit", "client", "upstream", "proxy"]
Phase = Literal["pool", "connect", "first byte", "idle", "total"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a config: where it is, what was found, what to do.

    `path`: of the value, where the line is not known yet; `config_file` finds the line.
    """

    file: str
    line: int  # 1-based; 0 when no line is known
    found: str
    remedy: str
    path: tuple[str | int, ...] = ()
    columns: tuple[int, int] = (0, 0)  # the first and the last of the place, from 1; 0 = unknown

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.found} {self.remedy}"


class ConfigError(Exception):
    """A config cannot be used. Holds all problems, in the order of their lines."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class GatewayError(Exception):
    """A call ends without the answer it asked for.

    `status` is the HTTP status that the client gets; `code`, `kind` and `param` are the
    `error.code`, `error.type` and `error.param` of OpenAI's error shape.
    """

    source: ClassVar[Source] = "proxy"
    blame: ClassVar[Blame] = "proxy"
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
    """The request itself cannot be served, here or elsewhere: 4xx, or 501 if not implemented."""

    blame = "client"
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


def client_too_slow() -> ClientError:
    """Return the error of a call whose client has stopped reading its answer."""
    return ClientError("The client stopped reading the answer.", status=408, code="client_too_slow")


class Overload(GatewayError):
    """The proxy itself is full or draining. `retry_after_s`: when to come back."""

    status = 503
    code = "proxy_overloaded"

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class CallerThrottled(GatewayError):
    """A caller has used up a limit of its own. `retry_after_s`: when there is room again.

    `kind`: the limit, `requests` or `tokens`, which OpenAI reports as the error's type.
    """

    blame = "caller_limit"
    status = 429
    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, kind: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after_s = retry_after_s


CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
CONTENT_FILTER = "content_filter"
SHUTTING_DOWN = "The proxy is shutting down."  # the message of answers and of streams


class ShuttingDown(Overload):
    """The proxy shuts down before it could answer; another instance, or the next process, can."""

    code = "proxy_shutting_down"


class OutOfResources(Overload):
    """This machine has no room, no descriptors or no memory for the call: no endpoint failed."""

    code = "proxy_out_of_resources"


class Rest(Protocol):
    """The part of an answer that was not read yet when the attempt was judged."""

    async def after(self, beginning: bytes) -> bytes:
        """Return both, as far as the rest came. Never raises an UpstreamError."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of an endpoint, kept so that an error can be passed on unchanged.

    `rest`: what follows `body`; None if `body` is whole.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes = field(repr=False)
    rest: Rest | None = field(default=None, repr=False)

    @property
    def is_success(self) -> bool:
        """Whether its status says that it holds an answer."""
        return self.status < 400

    async def whole(self) -> Answer:
        """Return the answer with what followed."""
        if self.rest is None:
            return self
        return Answer(self.status, self.headers, await self.rest.after(self.body))


# Of an error that answers later calls, too: what its body needs to be read.
KEPT_HEADERS = frozenset((b"content-type", b"content-encoding"))


class UpstreamError(GatewayError):
    """One attempt at one endpoint failed.

    `sent`: the first byte of the request was written, so the endpoint may have begun to work.
    `retry_after_s`: the wait that the endpoint asked for, in seconds; None if it gave none.
    `answer`: its answer, if there was one.
    """

    source: ClassVar[Source] = "upstream"
    blame: ClassVar[Blame] = "upstream"
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

    def as_later_answer(self) -> Self:
        """Return a copy that answers later calls, without what belongs to the first one alone."""
        other = copy(self)
        if self.answer is not None:
            kept = [header for header in self.answer.headers if header[0] in KEPT_HEADERS]
            other.answer = replace(self.answer, headers=kept)
        return other


class ConnectFailed(UpstreamError):
    """No connection: refused, unreachable, DNS or TLS failure. Nothing was sent."""

    reason = "connect_failed"
    code = "upstream_unreachable"

    def __init__(self, message: str, *, endpoint: str = "") -> None:
        super().__init__(message, endpoint=endpoint, sent=False)


class TimedOut(UpstreamError):
    """The endpoint was silent for too long. `phase`: during which wait."""

    reason = "timeout"
    status = 504
    code = "upstream_timeout"

    def __init__(
        self, message: str, *, phase: Phase, endpoint: str = "", sent: bool = True
    ) -> None:
        super().__init__(message, endpoint=endpoint, sent=sent)
        self.phase: Phase = phase


class UpstreamFailed(UpstreamError):
    """A 5xx, 408 or 409, a reset, a malformed or incomplete answer."""

    reason = "server_error"


class NoAnswer(UpstreamFailed):
    """A success in a form that is right, without an answer in it: no choices, no content.

    The prompt may be the reason (Gemini answers so when it blocks one), so it does not speak
    against the endpoint's health.
    """

    reason = "no_answer"


class Throttled(UpstreamError):
    """429 because of a rate: this endpoint has room again after `retry_after_s`."""

    reason = "throttled"


class QuotaExhausted(UpstreamError):
    """429 or 402 because of money: a person must act; the credential is set aside for a while."""

    reason = "quota_exhausted"


class Overloaded(UpstreamError):
    """503 or 529: the vendor is overloaded; also as an early event of a 200 stream."""

    reason = "overloaded"


class TooLarge(UpstreamError):
    """The request is larger than the endpoint takes at once, or in a minute. Another may take it.

    `limit_tokens`: what the endpoint says that it takes in a minute; None if it does not say.
    """

    reason = "too_large"
    limit_tokens: int | None = None


class OperationRefused(UpstreamError):
    """The endpoint refuses this operation, or lacks a permission that only this call needs."""

    reason = "operation_refused"


class CredentialRejected(UpstreamError):
    """401 or 403: our credential for this endpoint is wrong."""

    reason = "credential_rejected"


class KeyWithheld(UpstreamError):
    """401 or 403 of an endpoint that was asked without the client's own key: the key has gone to
    another origin, and goes to no second one."""

    reason = "key_withheld"


class Untranslatable(UpstreamError):
    """Its API cannot say what the call says. Another may; `again`: so may it, in other words."""

    source = "proxy"
    blame = "client"
    reason = "untranslatable"
    again = False


class Misconfigured(UpstreamError):
    """404 for the model or the deployment: this endpoint lacks what the config names."""

    reason = "misconfigured"


class Redirected(Misconfigured):
    """A 3xx: the base URL is not where the API is. Following it, or letting a client follow it,
    would send the prompt to a place that the operator has not named."""

    code = "upstream_redirected"


class RequestRejected(UpstreamError):
    """The client's own mistake (400, 404, 413, 422, content filter): passed on unchanged.

    `unrecognised`: neither its code nor its words are known; the endpoint itself may be wrong.
    """

    blame = "client"
    reason = "request_rejected"
    unrecognised = False


class StreamBroken(UpstreamError):
    """The stream ended early, after the commit point: no other endpoint may be tried."""

    reason = "stream_broken"
    code: str = "upstream_stream_interrupted"


@dataclass(frozen=True, slots=True)
class Skipped:
    """An endpoint that was not tried for a call. `why`: the reason, as part of a sentence."""

    endpoint: str
    why: str


class NoEndpoint(GatewayError):
    """No endpoint could answer. Names each endpoint tried or skipped, and why; never a secret.

    `retry_after_s`: when the first endpoint is expected back, in seconds; None: trying again does
    not help.
    """

    blame = "upstream"
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
        reasons = [f"{failure.endpoint}: {failure.message}" for failure in failures]
        reasons += [f"{skip.endpoint}: skipped, {skip.why}" for skip in skipped]
        super().__init__(f"No endpoint of '{group}' could answer. " + "; ".join(reasons))
