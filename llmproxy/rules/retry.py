"""What follows from a failed attempt: the tables of docs/project/, as code.

`judge` returns what one failure means; routing/attempts.py acts on it. A call whose
request may have taken effect is never sent again unless its `Replay` allows it.
"""

from __future__ import annotations

from math import ceil

import msgspec

from llmproxy.calls import Headers
from llmproxy.errors import (
    ConnectFailed,
    CredentialRejected,
    KeyWithheld,
    Misconfigured,
    NoAnswer,
    OperationRefused,
    Overloaded,
    QuotaExhausted,
    Redirected,
    RequestRejected,
    StreamBroken,
    Throttled,
    TimedOut,
    TooLarge,
    Untranslatable,
    UpstreamError,
)
from llmproxy.operations import Replay

MISCONFIGURED_S = 300.0  # a person must correct it; try again every five minutes
QUOTA_S = 300.0  # a person must pay
DEFAULT_COOLDOWN_S = 5.0  # a 429 that names no time
# Azure has said "retry after 86400 seconds" and meant a minute. What is longer is not believed:
# after a minute, one call asks whether it is still so.
MAX_COOLDOWN_S = 60.0
MAX_OWN_WAIT_S = 10.0  # a call waits so long for an endpoint that failed and named a time
FAILURE_BASE_S = 0.25
THROTTLE_BASE_S = 1.0
MAX_BACKOFF_S = 8.0  # as the SDKs' own
MIN_RETRIES = 3
RETRY_SHARE = 0.2
MAX_HINT_S = 60.0  # openai-node and the Vercel SDK ignore what is longer


class Judgement(msgspec.Struct, frozen=True):
    """What one failure means.

    `try_elsewhere`: another endpoint may serve the call. `try_again_here`: so may this one, when
    no other is left. `recovers`: the endpoint will recover by itself, so the client may come
    back. `feeds_breaker`: it speaks against the endpoint's health. `cooldown_s`: leave the endpoint
    alone for so long. `loud`: a person must act. `costs_budget`: the next attempt counts against
    the retry budget. `careful`: one call asks first after the cooldown. `slow_start`: let the
    endpoint's share grow slowly after it. `backoff_base_s`: for `backoff_s`. `wait_s`: the pause
    that the endpoint asked for, which binds this call alone.
    """

    try_elsewhere: bool = False
    try_again_here: bool = False
    recovers: bool = False
    feeds_breaker: bool = False
    cooldown_s: float | None = None
    loud: bool = False
    costs_budget: bool = False
    careful: bool = False
    slow_start: bool = False
    backoff_base_s: float = FAILURE_BASE_S
    wait_s: float = 0.0


# Statuses that say for certain that nothing was begun.
REFUSALS = (
    Throttled,
    QuotaExhausted,
    TooLarge,
    CredentialRejected,
    OperationRefused,
    Misconfigured,
)
THE_CLIENTS_OWN = Judgement()
# The client's own key was refused; another client's may be fine, and so is the endpoint.
THE_CLIENTS_RATE = Judgement(try_elsewhere=True, recovers=True, backoff_base_s=THROTTLE_BASE_S)


def judge(
    failure: UpstreamError,
    *,
    replay: Replay,
    own_credential: bool,
    own_model: bool = True,
    is_repeated: bool = False,
) -> Judgement:
    """What a failure means for the call and for the endpoint.

    `own_credential`: the endpoint's credential is ours, not one that the client brought.
    `own_model`: the model's name stands in our config; otherwise it is the client's own, and that
    an endpoint does not have it says nothing about the endpoint. `is_repeated`: the endpoint has
    throttled the same call before.
    """
    match failure:
        case RequestRejected():
            return THE_CLIENTS_OWN
        case StreamBroken():
            # After the commit point: too late for this call, but it speaks against the endpoint.
            return Judgement(feeds_breaker=True)
        case TimedOut():
            return _timed_out(failure, replay)
        case CredentialRejected() | QuotaExhausted() | OperationRefused() if not own_credential:
            return THE_CLIENTS_OWN
        case OperationRefused() | TooLarge() | NoAnswer() | KeyWithheld() | Untranslatable():
            return _about_the_call(failure, replay)
        case Throttled() if not own_credential:
            return THE_CLIENTS_RATE if _untouched(failure, replay) else THE_CLIENTS_OWN
        case Throttled():
            return _throttled(failure, replay, is_repeated=is_repeated)
        case QuotaExhausted():
            return _set_aside(failure, replay, QUOTA_S)
        case CredentialRejected():
            return _set_aside(failure, replay, MISCONFIGURED_S)
        case Misconfigured():
            if own_model or isinstance(failure, Redirected):
                return _set_aside(failure, replay, MISCONFIGURED_S)
            return Judgement(try_elsewhere=_untouched(failure, replay))
        case _:
            return _failed(failure, replay)


def passes_unchanged(
    failure: UpstreamError, *, own_credential: bool = True, own_model: bool = True
) -> bool:
    """Return whether only the client can correct it: then the endpoint's answer is passed on."""
    match failure:
        case RequestRejected() | OperationRefused() | TooLarge():
            return True
        case CredentialRejected() | QuotaExhausted() | Throttled():
            return not own_credential
        case Misconfigured():
            return not own_model
        case _:
            return False


def backoff_s(attempt: int, base_s: float, draw: float) -> float:
    """Seconds to wait before the next attempt: full jitter, doubling, at most 8.

    `attempt`: how many have failed so far, from 1.
    """
    return draw * min(MAX_BACKOFF_S, base_s * 2.0 ** min(max(attempt, 1) - 1, 30))


class RetryBudget:
    """Bounds the retries at once in a group, so that a storm does not multiply its own load.

    Mutable; owned by the group.
    """

    __slots__ = ("retrying",)

    def __init__(self) -> None:
        self.retrying = 0

    def allows(self, in_flight: int) -> bool:
        """Return whether one more retry may begin, with so many calls of the group in flight."""
        return self.retrying < max(MIN_RETRIES, RETRY_SHARE * in_flight)

    def begin(self) -> None:
        """Count a retry that begins."""
        self.retrying += 1

    def end(self) -> None:
        """Count a retry that is over, however it ended."""
        self.retrying -= 1


def client_hint(retry_after_s: float | None) -> Headers:
    """What the client's SDK should do: come back after so many seconds, or not at all (None).

    Milliseconds and whole seconds are rounded up, and are at most 60 s, because SDKs ignore or
    refuse what is longer (docs/project/upstreams.md).
    """
    if retry_after_s is None:
        return [(b"x-should-retry", b"false")]
    wait_s = min(max(retry_after_s, 0.0), MAX_HINT_S)
    return [
        (b"retry-after-ms", b"%d" % max(1, ceil(wait_s * 1000))),
        (b"retry-after", b"%d" % max(1, ceil(wait_s))),
    ]


def _timed_out(failure: TimedOut, replay: Replay) -> Judgement:
    if failure.phase == "total":
        return THE_CLIENTS_OWN  # the deadline is over, and it is the call's, not the endpoint's
    if failure.phase == "pool":
        # Our own connections are all in use: nothing was sent, and no endpoint failed.
        return Judgement(try_elsewhere=True, try_again_here=True, recovers=True)
    return _failed(failure, replay)


def _throttled(failure: Throttled, replay: Replay, *, is_repeated: bool) -> Judgement:
    """429 because of a rate: the time that it states is believed, up to a minute.

    The call itself comes back at that time, once. Where none is stated, or a second 429 shows that
    it was wrong, further attempts would only add to the vendor's load.
    """
    again, stated_s = _untouched(failure, replay), failure.retry_after_s
    wanted_s = DEFAULT_COOLDOWN_S if stated_s is None else max(stated_s, 0.0)
    return Judgement(
        try_elsewhere=again,
        try_again_here=again and stated_s is not None and not is_repeated,
        recovers=True,
        cooldown_s=min(wanted_s, MAX_COOLDOWN_S),
        careful=wanted_s > MAX_COOLDOWN_S,
        slow_start=failure.code == "slow_down",
        backoff_base_s=THROTTLE_BASE_S,
    )


def _failed(failure: UpstreamError, replay: Replay) -> Judgement:
    """5xx, resets, silence, no connection.

    A `retry-after` is about the call that failed (a gateway that cut off one long call sends it,
    too), so it binds this call and no other.
    """
    again, wait_s = _untouched(failure, replay), failure.retry_after_s or 0.0
    return Judgement(
        try_elsewhere=again,
        try_again_here=again and wait_s <= MAX_OWN_WAIT_S,
        recovers=True,
        feeds_breaker=True,
        costs_budget=again and failure.sent,
        wait_s=wait_s,
    )


def _about_the_call(failure: UpstreamError, replay: Replay) -> Judgement:
    """Others are served there as before. Asking again would most likely bring, and cost, the same.

    The prompt may be the reason of an empty answer, and a key that is not ours that of a refusal,
    so neither counts against an endpoint.
    """
    if isinstance(failure, Untranslatable) and failure.again:
        return Judgement(try_elsewhere=True, try_again_here=True, backoff_base_s=0.0)
    again = _untouched(failure, replay)
    was_sent_on = isinstance(failure, NoAnswer | KeyWithheld)
    return Judgement(try_elsewhere=again, costs_budget=again and was_sent_on)


def _set_aside(failure: UpstreamError, replay: Replay, cooldown_s: float) -> Judgement:
    """The endpoint can serve no call until a person acts; the others can, at once."""
    return Judgement(try_elsewhere=_untouched(failure, replay), cooldown_s=cooldown_s, loud=True)


def _untouched(failure: UpstreamError, replay: Replay) -> bool:
    """Return whether the call may be sent again: it took no effect, or may take effect twice.

    A status that refuses (401, 403, 404, 429) says for certain that nothing was begun, whatever
    the call creates. A 503 is cheap to repeat but says so less clearly.
    """
    if replay is Replay.SAFE or not failure.sent or isinstance(failure, ConnectFailed):
        return True
    if isinstance(failure, REFUSALS):
        return failure.answer is not None and failure.answer.status >= 400
    return replay is Replay.COSTLY and isinstance(failure, Overloaded)
