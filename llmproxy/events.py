"""Events that the request path emits, and the base class of what listens to them.

Events are frozen and content-free. Observation never stands in a call's path: nothing that a
listener does changes a call. Moments are seconds of `time.monotonic` unless the attribute says
otherwise, durations seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import msgspec

from llmproxy.operations import Usage
from llmproxy.record import CallRecord
from llmproxy.steps import Attempt


class AttemptEnded(msgspec.Struct, frozen=True, gc=False):
    """An attempt is over; if it was answered, so is the answer. Each attempt emits one.

    Attributes:
        call_id: Our id of the call.
        group: The model group that was asked, a fallback's if the call had fallen back.
        attempt: Endpoint, times, outcome, verdict, and what went wrong.
        usage: Tokens as the endpoint counted them; None if it did not report any.
        broken: The answer broke off after the commit point.
    """

    call_id: str
    group: str
    attempt: Attempt
    usage: Usage | None = None
    broken: bool = False


class EndpointChange(StrEnum):
    """How an endpoint's state changed."""

    OPEN = "open"  # the circuit breaker opened
    HALF_OPEN = "half-open"  # the breaker lets one attempt through
    CLOSED = "closed"  # the breaker closed: the endpoint answers again
    COOLING = "cooling"  # a cooldown began
    MISCONFIGURED = "misconfigured"  # a cooldown began that a person must end
    SUSPECT = "suspect"  # it refuses calls and is not set aside: a person should look at it
    DRAINED = "drained"  # the operator takes it out of service
    ENABLED = "enabled"  # the operator puts it back into service
    CLEARED = "cleared"  # the operator ends its cooldown


class EndpointStateChanged(msgspec.Struct, frozen=True):
    """An endpoint left the healthy state or came back.

    Attributes:
        group: The endpoint's model group.
        endpoint: Its name.
        state: What changed.
        why: The cause, for a person.
        for_s: How long the state lasts, in seconds; None if that is not known.
    """

    group: str
    endpoint: str
    state: EndpointChange
    why: str
    for_s: float | None


class HealthCheckResult(StrEnum):
    """What a health check found."""

    OK = "ok"  # the endpoint answers
    REFUSED = "refused"  # it refuses our key
    FAILED = "failed"


class HealthChecked(msgspec.Struct, frozen=True):
    """An endpoint without calls was checked. This is neither a call nor an attempt."""

    group: str
    endpoint: str
    result: HealthCheckResult


class CallFinished(msgspec.Struct, frozen=True, gc=False):
    """A call is over, however it ended.

    Attributes:
        record: Everything known about the call; nothing changes it any more.
        ended_at: Unix time of its end, in seconds.
        total_s: From the request's arrival to the end of the answer.
        first_byte_s: From the request's arrival to the first byte of the answer; None without one.
        overhead_s: The part of `first_byte_s` (or of `total_s`) that was spent in this process and
            not on waiting for others.
    """

    record: CallRecord
    ended_at: float
    total_s: float
    first_byte_s: float | None
    overhead_s: float


class Listener:
    """Base class for listeners. Every hook is a no-op; override the ones you need.

    Hooks run in the event loop, in a call's path: they must be quick and must not raise.
    """

    def attempt_ended(self, event: AttemptEnded) -> None:
        """Take note of the end of an attempt."""

    def endpoint_state_changed(self, event: EndpointStateChanged) -> None:
        """Take note of a change of an endpoint's state."""

    def health_checked(self, event: HealthChecked) -> None:
        """Take note of a health check."""

    def call_finished(self, event: CallFinished) -> None:
        """Take note of the end of a call."""


class Listeners(Listener):
    """Several listeners as one. Each event goes, in order, to those that override its hook."""

    def __init__(self, *listeners: Listener) -> None:
        self.all: list[Listener] = []
        for listener in listeners:
            self.all += listener.all if isinstance(listener, Listeners) else [listener]
        self._attempt_ended: list[Callable[[AttemptEnded], None]] = self._hooks("attempt_ended")
        self._state_changed: list[Callable[[EndpointStateChanged], None]] = self._hooks(
            "endpoint_state_changed"
        )
        self._call_finished: list[Callable[[CallFinished], None]] = self._hooks("call_finished")

    def _hooks(self, name: str) -> list[Callable[[Any], None]]:
        """Return the hook of each listener that overrides it."""
        inherited = getattr(Listener, name)
        return [
            getattr(listener, name)
            for listener in self.all
            if getattr(type(listener), name) is not inherited
        ]

    def attempt_ended(self, event: AttemptEnded) -> None:
        """Pass the event on."""
        for hook in self._attempt_ended:
            hook(event)

    def endpoint_state_changed(self, event: EndpointStateChanged) -> None:
        """Pass the event on."""
        for hook in self._state_changed:
            hook(event)

    def health_checked(self, event: HealthChecked) -> None:
        """Pass the event on."""
        for listener in self.all:
            listener.health_checked(event)

    def call_finished(self, event: CallFinished) -> None:
        """Pass the event on."""
        for hook in self._call_finished:
            hook(event)
