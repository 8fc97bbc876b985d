"""Failures that an endpoint reports: by a status, or by a success that holds no answer."""

from __future__ import annotations

from time import time
from urllib.parse import urlsplit

from llmproxy.calls import Call
from llmproxy.errors import Answer, NoAnswer, Redirected, UpstreamError, UpstreamFailed
from llmproxy.operations import Dialect, EventKind, Replay, Usage
from llmproxy.operations.answers import ANSWER, AnswerKind, begins_as_json
from llmproxy.operations.usage import usage_of
from llmproxy.pipeline.failover.unread import UnreadRest
from llmproxy.protocols import ReadAnswer
from llmproxy.providers.base import Endpoint
from llmproxy.rules.encoding import readable
from llmproxy.streams import UpstreamResponse

_CONDITIONS = frozenset((b"if-none-match", b"if-modified-since"))
MAX_READABLE_BYTES = 1024 * 1024


def promised_member(call: Call, response: UpstreamResponse) -> str | None:
    """Return the member that holds the answer; None if no particular answer was promised."""
    if call.method != "POST" or response.status != 200:
        return None
    return call.route.operation.answer


def begun(response: UpstreamResponse, held: bytes) -> Answer:
    """Return an answer as far as it was read, with the rest to follow."""
    rest = None if response.exhausted else UnreadRest(response)
    return Answer(response.status, response.headers, held, rest)


def read_success(
    call: Call,
    endpoint: Endpoint,
    response: UpstreamResponse,
    held: bytes,
    *,
    read_answer: ReadAnswer,
) -> Usage | None:
    """Return the usage that a body with a success status reports, if it is whole.

    `held`: the whole body, or its beginning if the response is not exhausted. Raises the
    UpstreamError that a body means which is no answer.
    """
    member = promised_member(call, response)
    encoding = response.content.encoding
    if not response.exhausted:
        if member is None or encoding or begins_as_json(held):
            return None
        raise UpstreamFailed("status 200 without JSON", answer=begun(response, held))
    body = readable(held, encoding, max_bytes=MAX_READABLE_BYTES) if encoding else held
    if body is None:
        return None
    if member is None and (call.replay is Replay.UNSAFE or call.method != "POST"):
        return usage_of(body)  # the stored files and objects of an account may hold anything
    kind, usage = read_answer(body, member)
    if kind is ANSWER:
        return usage
    answer = Answer(response.status, response.headers, held)
    match kind:
        case AnswerKind.ERROR:
            raise failure_in(answer, endpoint, body)
        case AnswerKind.EMPTY:
            raise NoAnswer(f"status 200 without {member}", answer=answer)
        case _:
            what = "without JSON" if body.strip() else "with an empty body"
            raise UpstreamFailed(f"status 200 {what}", answer=answer)


def failure_of_ended(
    endpoint: Endpoint, dialect: Dialect, response: UpstreamResponse, held: bytes, last: bytes
) -> UpstreamError:
    """Return the failure of a stream that ended before its first content.

    `last`: its end, which is no whole event; some vendors send a bare JSON error.
    """
    answer = begun(response, held)
    if last and endpoint.provider.classify(last, dialect) is EventKind.ERROR:
        return failure_in(answer, endpoint, last)
    return UpstreamFailed("the stream ended before its first event", answer=answer)


def redirection_of(call: Call, response: UpstreamResponse) -> UpstreamError | None:
    """Return the failure that a 3xx means; None for other statuses, and for the answer to a
    condition that the client has set (304)."""
    status = response.status
    if status >= 400:
        return None
    if status == 304 and any(name in _CONDITIONS for name, _ in call.headers):
        return None
    location = next((value for name, value in response.headers if name == b"location"), b"")
    place = _place_of(location.decode("latin-1"))
    failure = Redirected(
        f"status {status}, a redirect to {place}. Redirects are not followed: "
        "write the address of the API in base_url"
    )
    failure.sent = status == 303  # the only one that may follow work that was done
    return failure


def _place_of(location: str) -> str:
    """Return scheme and host of a location; its path and query may hold secrets."""
    try:
        parts = urlsplit(location)
        host = parts.hostname
    except ValueError:
        return "a malformed address"
    if not host:
        return "another path of the same host" if location else "no address"
    return f"{parts.scheme}://{host}" if parts.scheme else host


def failure_in(answer: Answer, endpoint: Endpoint, event: bytes | None = None) -> UpstreamError:
    """Return the failure that an answer stands for, in its provider's judgement.

    `event`: what says so in an answer with a success status: the event that a stream began with, or
    the body. If the failure must be passed on, the client gets the answer as it came.
    """
    failure = endpoint.provider.failure(
        answer,
        endpoint=endpoint.name,
        wall_now=time(),
        mask=endpoint.mask,
        event=event,
    )
    return failure or UpstreamFailed(f"status {answer.status}", answer=answer)
