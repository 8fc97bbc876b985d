"""What is asked of two routers, to compare them, and what they answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

FEW_CALLS = 5  # where one endpoint can answer
SOME_CALLS = 20  # where a rule chooses among them
CALLS = 48  # where several may answer
WARM_UP_CALLS = 20  # before a cooldown is looked at
TIMEOUT_S = 1.0  # what every timeout of a config becomes, to be short

Counts = Mapping[str, int]


class DeploymentState(StrEnum):
    """What a simulated deployment does with a call."""

    DOWN = "down"  # 500
    BUSY = "busy"  # 429, without Retry-After
    TOO_LONG = "too_long"  # 400: the prompt is too long
    FILTERED = "filtered"  # 400: the content is refused
    MISTAKEN = "mistaken"  # 400: a parameter is wrong
    SLOW = "slow"  # it answers long after every timeout


class Setup(StrEnum):
    """What both routers are set up with."""

    PLAIN = "plain"  # no cooldown: no scenario changes the next one
    COOLDOWN = "cooldown"  # calls to warm up; then the attempts are counted, not the answers
    TIMEOUT = "timeout"  # timeouts, shortened


@dataclass(frozen=True, slots=True)
class Scenario:
    """Calls for one model name.

    `about`: for the table. `states`: what deployments do; the others answer. `request`: what
    LiteLLM is told beside the model. `reason`: why ours may do something else, if it is known.
    `members`: of the group, where one of several is down.
    """

    about: str
    model: str
    states: Mapping[str, DeploymentState] = field(default_factory=dict)
    calls: int = FEW_CALLS
    setup: Setup = Setup.PLAIN
    request: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    members: tuple[str, ...] = ()

    @property
    def warm_up_calls(self) -> int:
        """Return how many calls come before those that count."""
        return WARM_UP_CALLS if self.setup is Setup.COOLDOWN else 0

    def routed(self, answers: Counts, tried: Counts) -> Routed:
        """Return what became of its calls."""
        counts = tried if self.setup is Setup.COOLDOWN else answers
        return Routed(dict(counts), sum(tried.values()))


@dataclass(frozen=True, slots=True)
class Routed:
    """What became of a scenario's calls: who answered (or was tried), and all attempts."""

    counts: Counts
    attempts: int
