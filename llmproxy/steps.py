"""The steps of one call on its way to an answer, with the reason for each.

Content-free: names, numbers and reasons, no prompt and no answer; except an attempt's
`message`, in which an endpoint may quote the call: it is for memory and logs, never for a store.
Moments are seconds of `time.monotonic`, durations seconds.
"""

from __future__ import annotations

from enum import StrEnum
from typing import assert_never

import msgspec


class AttemptOutcome(StrEnum):
    """How an attempt ended."""

    ANSWERED = "answered"  # the call reached its commit point
    FAILED = "failed"
    ABANDONED = "abandoned"  # the client left, or another attempt answered first


# Python 3.11 finds an Enum's member six times slower than a global: 0.4 us, for each attempt.
ANSWERED, FAILED, ABANDONED = AttemptOutcome

OUTRUN = "outrun"  # the reason of an attempt that was abandoned because another one answered first


class Verdict(StrEnum):
    """What follows from a failed attempt."""

    SAME_ENDPOINT = "same endpoint"
    NEXT_ENDPOINT = "next endpoint"
    GIVE_UP = "give up"
    OTHER_ATTEMPT = "other attempt"  # it is under way beside the failed one, and is waited for


class Attempt(
    msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="what", tag="attempt"
):
    """One try at one endpoint.

    Attributes:
        endpoint: The endpoint's name.
        began_at: When the attempt began.
        took_s: Its duration up to the commit point or the failure.
        outcome: How it ended.
        status: The endpoint's HTTP status; None if it sent none.
        reason: Kind of the failure, such as `timeout`; of an abandoned attempt, `outrun` if another
            one answered first.
        verdict: What the call did next; only of a failed attempt.
        hedge: It began beside another attempt, which was silent for long.
        why: Why the endpoint was preferred; None if it was not.
        message: What went wrong, for a person, often in the endpoint's words; only of a failed
            attempt. Bounded, and without secrets.
        request_id: The endpoint's id of a failed attempt, which its support asks for.
    """

    endpoint: str
    began_at: float
    took_s: float
    outcome: AttemptOutcome
    status: int | None = None
    reason: str | None = None
    verdict: Verdict | None = None
    hedge: bool = False
    why: str | None = None
    message: str | None = None
    request_id: bytes | None = None


class PassedOver(msgspec.Struct, frozen=True, gc=False, tag_field="what", tag="skipped"):
    """An endpoint that was next in order, or considered, and got no attempt.

    Attributes:
        endpoint: The endpoint's name.
        at: When it was skipped.
        why: The reason, for a person.
    """

    endpoint: str
    at: float
    why: str


class FellBack(msgspec.Struct, frozen=True, gc=False, tag_field="what", tag="fallback"):
    """The call went on in another model group.

    Attributes:
        group: The group that was asked next.
        at: When the call changed over.
    """

    group: str
    at: float


class Changed(msgspec.Struct, frozen=True, gc=False, tag_field="what", tag="changed"):
    """Parameters were changed for the endpoint that is asked next: their names, no values."""

    endpoint: str
    at: float
    changes: str


Step = Attempt | PassedOver | FellBack | Changed


def in_words(steps: list[Step]) -> str:
    """Return the steps as one line, for a header and for the log."""
    return "; ".join(map(_in_words, steps)) or "no endpoint was asked"


def _in_words(step: Step) -> str:
    match step:
        case PassedOver():
            return f"skipped {step.endpoint} ({step.why})"
        case FellBack():
            return f"fell back to group {step.group}"
        case Changed():
            return f"changed for {step.endpoint} ({step.changes})"
        case Attempt():
            return _attempt_in_words(step)
        case _:
            assert_never(step)


def _attempt_in_words(attempt: Attempt) -> str:
    name = f"{attempt.endpoint} (hedge)" if attempt.hedge else attempt.endpoint
    parts = [name, attempt.outcome]
    if attempt.status is not None:
        parts.append(str(attempt.status))
    if attempt.reason not in (None, attempt.outcome):
        parts.append(f"({attempt.reason})")
    words = " ".join(parts) + f" after {attempt.took_s * 1000:.1f} ms"
    words += f" (preferred: {attempt.why})" if attempt.why else ""
    return words if attempt.verdict is None else f"{words}, then {attempt.verdict}"
