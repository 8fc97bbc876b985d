"""What happened on the way to an answer, step by step: the decision trace of one call.

Content-free: names, numbers and reasons, never a word of what was asked or answered. Moments are
seconds of `time.monotonic`.
"""

from __future__ import annotations

import msgspec


class Attempt(msgspec.Struct, frozen=True, gc=False, tag_field="what", tag="attempt"):
    """One try at one endpoint, up to the commit point.

    `outcome`: "answered", "failed", or "abandoned" when the call ended under it (the client left).
    `reason` and `verdict` belong to a failure; `status` is the endpoint's, if it sent one.
    """

    endpoint: str
    began_at: float
    took_s: float
    outcome: str
    status: int | None = None
    reason: str | None = None
    verdict: str | None = None


class PassedOver(msgspec.Struct, frozen=True, gc=False, tag_field="what", tag="skipped"):
    """An endpoint whose turn it might have been, and why it did not get it."""

    endpoint: str
    at: float
    why: str


class FellBack(msgspec.Struct, frozen=True, gc=False, tag_field="what", tag="fallback"):
    """The call went on in another model group."""

    group: str
    at: float


Step = Attempt | PassedOver | FellBack


def in_words(steps: list[Step]) -> str:
    """The trace in one line, for a header and for the log."""
    return "; ".join(map(_in_words, steps)) or "no endpoint was asked"


def _in_words(step: Step) -> str:
    match step:
        case PassedOver():
            return f"skipped {step.endpoint} ({step.why})"
        case FellBack():
            return f"fell back to group {step.group}"
        case Attempt():
            parts = [step.endpoint, step.outcome]
            if step.status is not None:
                parts.append(str(step.status))
            if step.reason not in (None, step.outcome):
                parts.append(f"({step.reason})")
            words = " ".join(parts) + f" after {step.took_s * 1000:.1f} ms"
            return words if step.verdict is None else f"{words}, then {step.verdict}"
