"""When a second attempt may begin beside a silent one, and how many may: the rules of hedging.

An endpoint that is silent after it has accepted a call may be stalled, or may simply need long.
Only its usual time tells which. So each endpoint has an estimate for each kind of call: the time
within which 98 % of its answers begin. Calls that reason are a kind of their own, because minutes
of silence are normal for them.

A second attempt costs a second generation, so a budget allows it for a share of the calls only.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

# The first estimates, in seconds, by kind (see `kind_of`). They are high, because a hedge beside a
# call that merely takes long is wasted. They fall by 1 % with each faster answer, so 20 s become
# 2 s after some 230 calls.
UNKNOWN_S = (60.0, 20.0, 180.0, 180.0)
# No hedge begins earlier, however fast the endpoint usually is.
FLOOR_S = (2.0, 2.0, 120.0, 120.0)
# Each answer multiplies the estimate: by UP if it took longer, else by DOWN. The two are in balance
# when 98 % of the answers take less. An attempt that was given up can be counted, too: it is enough
# to know that it had taken longer.
UP, DOWN = 1.632, 0.99  # exp(0.5 * 0.98), exp(-0.5 * 0.02)

# A group may begin this many hedges at once, after a while without any.
BURST = 5.0
# An endpoint is failing when others have answered this many calls in a row during its silence.
MAX_OUTRUN = 3
# When to try again if a hedge is due, but the budget or the capacity does not allow it.
LOOK_AGAIN_S = 0.5

# Models that reason unless a parameter turns it off.
_REASONING_MODEL = re.compile(
    r"(?:^|[/:._-])(?:o[1-9](?![a-z0-9])|gpt-5(?!.*chat)|gpt-oss|qwq|magistral|grok-4"
    r"|gemini-(?:2\.5-pro|3)|r1(?![a-z0-9]))|reason|thinking|deep-research"
)
_NOT_REASONING = re.compile(r"non-reasoning|non-thinking|no-think")


def kind_of(*, stream: bool, thinks: bool) -> int:
    """Return the kind of a call: its place in the tables above."""
    return stream + 2 * thinks


@lru_cache(maxsize=512)
def model_thinks(model: str) -> bool:
    """Return whether a model is known to reason before it answers, by its name."""
    name = model.lower()
    return _REASONING_MODEL.search(name) is not None and _NOT_REASONING.search(name) is None


class Promptness:
    """How soon an endpoint's answers begin. Mutable; owned by the endpoint's state.

    `outrun`: calls in a row that others answered while the endpoint was silent for unusually long.
    `_given_up`: by kind, the attempts that were given up since the last answer and had taken longer
    than the estimate. They count as slow answers only when the endpoint answers again: otherwise
    the estimate of a dead endpoint would grow until its silence looked usual. `thinks`: its model
    reasons before it answers.
    """

    __slots__ = ("_given_up", "_usual_s", "outrun", "thinks")

    def __init__(self) -> None:
        self._usual_s = list(UNKNOWN_S)
        self._given_up = [0, 0, 0, 0]
        self.outrun = 0
        self.thinks = False

    def answered(self, kind: int, took_s: float) -> None:
        """Learn from an answer that began after `took_s`."""
        if any(self._given_up):
            self._usual_s = [
                usual_s * UP**count
                for usual_s, count in zip(self._usual_s, self._given_up, strict=True)
            ]
            self._given_up = [0, 0, 0, 0]
        self._usual_s[kind] *= DOWN if took_s < self._usual_s[kind] else UP
        self.outrun = 0

    def given_up(self, kind: int, after_s: float, *, suspicious: bool) -> None:
        """Learn from an attempt that was given up because another endpoint answered."""
        if after_s >= self._usual_s[kind]:  # else it might still have answered in its usual time
            self._given_up[kind] += 1
        self.outrun += suspicious

    @property
    def is_silent(self) -> bool:
        """Whether others have answered MAX_OUTRUN calls in a row during its silence."""
        return self.outrun >= MAX_OUTRUN

    def suspicious_after_s(self, kind: int) -> float:
        """Return the seconds of silence after which a call may be hedged."""
        usual_s, floor_s = self._usual_s[kind], FLOOR_S[kind]
        return usual_s if usual_s > floor_s else floor_s


class HedgeBudget(msgspec.Struct):
    """The hedge budget of a group: a bucket. Each call adds `share` to it; a hedge takes 1 out.

    `share`: hedges for each call; 0 = none are made.
    """

    share: float = 0.0
    _left: float = BURST

    def note_call(self) -> None:
        """Count a call."""
        left = self._left + self.share
        self._left = left if left < BURST else BURST

    @property
    def may_take(self) -> bool:
        """Whether the budget allows a hedge now."""
        return self._left >= 1.0

    def take(self) -> None:
        """Take a hedge out of the budget."""
        self._left -= 1.0
