"""What `Attempts.next` may return, and what it is made with."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

import msgspec

from llmproxy.config import Queue
from llmproxy.errors import NoEndpoint, UpstreamError
from llmproxy.operations import Replay
from llmproxy.routing.endpoint import Checkout, StateChange
from llmproxy.steps import Verdict


class RoutedCall(Protocol):
    """The part of a call that the decisions depend on. Times are seconds of the clock of `now`."""

    @property
    def replay(self) -> Replay:
        """Whether it may be sent twice."""

    @property
    def deadline_at(self) -> float:
        """When its attempts end."""

    @property
    def caller(self) -> str | None:
        """Whose key the client sent; None: the key, if any, is the endpoint's to check."""

    @property
    def hedgeable(self) -> bool:
        """Whether it may be sent to a second endpoint while the first one works on it."""

    @property
    def model(self) -> str | None:
        """The model that the client named."""

    @property
    def stream(self) -> bool:
        """Whether the answer comes piece by piece."""

    @property
    def thinks(self) -> bool | None:
        """Whether the model reasons before it answers; None: as it usually does."""


class CallState(StrEnum):
    """Where a call is, as the table below uses it."""

    CHOOSING = "choosing"
    OWES_RETRY = "owes retry"
    BLOCKED = "blocked"
    QUEUED = "queued"
    PAUSED = "paused"
    DECIDED = "decided"
    UNDER_WAY = "under way"
    ACCEPTED = "accepted"
    OVER = "over"


class AttemptPolicy(msgspec.Struct, frozen=True):
    """The operator's bounds: attempts of a call in one group, and the wait queue's."""

    max_attempts: int
    queue: Queue


class Try(msgspec.Struct, eq=False):
    """Send the call to the endpoint of `checkout`; then report `accepted`, `failed` or `abandoned`.

    It is one attempt, and owns what the attempt has claimed: the checkout and, until it is
    returned, a slot of the group's retry budget (`holds_retry`). `is_hedge`: it began beside a
    silent one.
    """

    checkout: Checkout
    holds_retry: bool = False
    is_hedge: bool = False


class WaitInLine(msgspec.Struct, frozen=True):
    """Wait in the group's queue for a checkout; then report `left_queue`."""

    at_most_s: float


class Pause(msgspec.Struct, frozen=True):
    """Ask `next` again after so many seconds."""

    seconds: float


class GiveUp(msgspec.Struct, frozen=True):
    """End the call with this error."""

    error: UpstreamError | NoEndpoint


Action = Try | WaitInLine | Pause | GiveUp


class Failed(msgspec.Struct, frozen=True):
    """What a failed attempt came to: what the call does next, and what its endpoint became."""

    verdict: Verdict
    changes: tuple[StateChange, ...]
