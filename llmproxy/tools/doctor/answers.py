"""What an exchange with an endpoint means. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from llmproxy.errors import (
    Answer,
    CredentialRejected,
    Misconfigured,
    QuotaExhausted,
    RequestRejected,
    Throttled,
    TimedOut,
    UpstreamError,
    UpstreamFailed,
)
from llmproxy.providers.base import Endpoint
from llmproxy.streams import Mask
from llmproxy.tools.doctor.exchanges import MAX_BYTES, Exchange, SmallCall, excerpt
from llmproxy.tools.doctor.findings import DoctorFinding, found

CLOCK_S = 300.0
REDIRECTS = (301, 302, 303, 307, 308)
BURST_S = 0.02
BUFFERED_EVENTS = 8
BUFFERED_WAIT_S = 0.3
# The member that a whole answer of a dialect has.
_MEMBER = {"chat": "choices", "messages": "content", "responses": "output", "embeddings": "data"}
_END = {"chat": b"[DONE]", "messages": b"message_stop", "responses": b"response.completed"}
_ALSO_END = {"responses": (b"response.incomplete",)}
_CODES: dict[type[UpstreamError], str] = {
    CredentialRejected: "credential_rejected",
    QuotaExhausted: "quota_exhausted",
    Misconfigured: "model_not_found",
    Throttled: "throttled",
}


def answer_findings(
    done: Exchange,
    call: SmallCall,
    endpoint: Endpoint,
    subject: str,
    *,
    wall_now: float,
    timeout_s: float,
    slow_s: float,
) -> Iterator[DoctorFinding]:
    """Yield what is wrong with the answer to a call. `wall_now`: Unix time when it was read.
    `slow_s`: a first byte that takes longer is slow."""
    if isinstance(done.failure, TimedOut):
        what = "end" if done.chunks else "begin"
        yield found("no_answer", subject, what=what, seconds=timeout_s)
        return
    failure = failure_of(done, endpoint, wall_now)
    if done.status in REDIRECTS:
        yield _redirect(done, subject)
    elif failure is not None:
        yield of_failure(failure, subject, model=call.model)
    elif done.failure is not None:
        yield _of_lost(done, call, subject)
    elif done.is_cut:
        yield found("call_failed", subject, why=f"{MAX_BYTES:,} bytes for a few tokens, and more.")
    elif done.text is None:
        encoding = done.encoding.decode("latin-1")
        yield found("broken_encoding", subject, encoding=encoding)
    elif call.stream:
        yield from _stream(done, call, endpoint, subject)
    else:
        yield from _whole(done, call, endpoint, subject)
    if failure is None and done.first_byte_s is not None and done.first_byte_s > slow_s:
        yield found("slow_first_byte", subject, seconds=done.first_byte_s)
    if not call.stream:
        yield from _clock(done, subject, wall_now)
        if failure is None and done.failure is None:
            yield from _limits(done, endpoint, subject, wall_now)


def failure_of(done: Exchange, endpoint: Endpoint, wall_now: float) -> UpstreamError | None:
    """Return what a refusal means, by the rules of the endpoint's provider."""
    if done.status < 300:
        return None
    answer = Answer(done.status, list(done.headers), done.body)
    failure = endpoint.provider.failure(
        answer, endpoint=endpoint.name, wall_now=wall_now, mask=endpoint.mask
    )
    return failure or UpstreamError(f"it answers with status {done.status}", answer=answer)


def of_failure(failure: UpstreamError, subject: str, *, model: str) -> DoctorFinding:
    """Return a refusal as a finding."""
    code = next((code for kind, code in _CODES.items() if isinstance(failure, kind)), None)
    why = failure.message
    if code is None:
        status = failure.status if failure.answer is not None else None
        if status in (404, 405) and isinstance(failure, RequestRejected):
            code = "model_not_found"
        else:
            return found("call_failed", subject, why=why)
    return found(code, subject, status=failure.status, why=why, model=model)


def is_refused_bound(done: Exchange) -> bool:
    """Return whether an endpoint refuses the name of the output limit, and takes another one."""
    text = done.text or b""
    return done.status == 400 and (b"max_tokens" in text or b"max_completion_tokens" in text)


def _redirect(done: Exchange, subject: str) -> DoctorFinding:
    """Return the finding of an answer that leads elsewhere. A query may hold secrets."""
    place = (done.header(b"location") or b"nowhere").decode("latin-1").partition("?")[0]
    return found("redirected", subject, status=done.status, place=place)


def _of_lost(done: Exchange, call: SmallCall, subject: str) -> DoctorFinding:
    """Return the finding of an answer that broke off, was no HTTP, or was never begun."""
    failure = done.failure
    why = "" if failure is None else failure.message
    if call.stream and done.chunks:
        return found("stream_broken", subject, why=why)
    code = "broken_answer" if isinstance(failure, UpstreamFailed) else "call_failed"
    return found(code, subject, why=why)


def _whole(
    done: Exchange, call: SmallCall, endpoint: Endpoint, subject: str
) -> Iterator[DoctorFinding]:
    try:
        answer = done.parsed()
    except ValueError:
        yield _wrong(done, call, subject, f"no JSON, but {_kind(done, endpoint.mask)}")
        return
    member = _MEMBER[call.dialect]
    if not isinstance(answer, dict) or not isinstance(answer.get(member), list):
        shown = excerpt(endpoint.mask(done.text or b""))
        yield _wrong(done, call, subject, f"no list `{member}`, but {shown}")


def _stream(
    done: Exchange, call: SmallCall, endpoint: Endpoint, subject: str
) -> Iterator[DoctorFinding]:
    body = done.body
    events = [event for event in body.replace(b"\r\n", b"\n").split(b"\n\n") if b"data:" in event]
    if not (done.header(b"content-type") or b"").lower().startswith(b"text/event-stream"):
        yield _wrong(done, call, subject, f"no stream of events, but {_kind(done, endpoint.mask)}")
        return
    ends = (_END[call.dialect], *_ALSO_END.get(call.dialect, ()))
    if not events or not any(end in event for end in ends for event in events[-3:]):
        shown = ends[0].decode()
        why = f"after {len(events)} events, without {shown}"
        yield found("stream_broken", subject, why=why)
        return
    first, last = done.chunks[0][0], done.chunks[-1][0]
    if is_buffered(done, len(events)):
        ms = (last - first) * 1000
        yield found("stream_buffered", subject, events=len(events), ms=ms, wait=first)


def is_buffered(done: Exchange, events: int) -> bool:
    """Return whether a stream of so many events came in one piece, after a wait."""
    if events < BUFFERED_EVENTS or not done.chunks:
        return False
    first, last = done.chunks[0][0], done.chunks[-1][0]
    return last - first < BURST_S and first > BUFFERED_WAIT_S


def _clock(done: Exchange, subject: str, wall_now: float) -> Iterator[DoctorFinding]:
    date = done.header(b"date")
    try:
        theirs = parsedate_to_datetime((date or b"").decode("latin-1")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return
    if abs(wall_now - theirs) > CLOCK_S:
        yield found("clock_off", subject, minutes=abs(wall_now - theirs) / 60)


def _limits(
    done: Exchange, endpoint: Endpoint, subject: str, wall_now: float
) -> Iterator[DoctorFinding]:
    if endpoint.provider.rate_limits(done.headers, wall_now=wall_now) is None:
        yield found("no_limit_headers", subject)


def _wrong(done: Exchange, call: SmallCall, subject: str, why: str) -> DoctorFinding:
    return found("wrong_dialect", subject, status=done.status, dialect=call.dialect, why=why)


def _kind(done: Exchange, mask: Mask) -> str:
    kind = (done.header(b"content-type") or b"").decode("latin-1").partition(";")[0]
    text = done.text or b""
    if not text.strip():
        return "nothing: the body is empty"
    return f"{kind or 'something without content-type'}: {excerpt(mask(text))}"
