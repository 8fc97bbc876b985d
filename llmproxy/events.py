"""What is told: frozen facts that stages emit and logs, metrics and tracing listen to.

Observation is not a policy: nothing that a listener does changes a call.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from llmproxy.operations import Usage
from llmproxy.record import CallRecord
from llmproxy.steps import Attempt


class AttemptFailed(msgspec.Struct, frozen=True):
    """One attempt did not lead to an answer; `verdict` is what follows from it."""

    call_id: str
    group: str
    endpoint: str
    reason: str
    status: int | None
    verdict: str
    elapsed_s: float
    message: str


class AttemptEnded(msgspec.Struct, frozen=True, gc=False):
    """One attempt and, if it was answered, the answer are over. Of every attempt there is one.

    `usage`: what the endpoint counted, if it told. `broken`: the answer broke after the commit
    point.
    """

    group: str
    attempt: Attempt
    usage: Usage | None = None
    broken: bool = False


class EndpointStateChanged(msgspec.Struct, frozen=True):
    """An endpoint left the healthy state or came back."""

    group: str
    endpoint: str
    # "open", "half-open", "closed", "cooling", "misconfigured"; by the operator: "drained",
    # "enabled", "cleared"
    state: str
    why: str
    for_s: float | None  # seconds, if it is known how long


class CallFinished(msgspec.Struct, frozen=True, gc=False):
    """A call is over, however it ended. Content-free, as its record is.

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


class Listener(Protocol):
    """Somebody who wants to know. Must be quick and must not raise."""

    def attempt_failed(self, event: AttemptFailed) -> None:
        """An attempt did not lead to an answer."""

    def attempt_ended(self, event: AttemptEnded) -> None:
        """An attempt is over, and the answer that it led to."""

    def endpoint_state_changed(self, event: EndpointStateChanged) -> None:
        """An endpoint left the healthy state or came back."""

    def call_finished(self, event: CallFinished) -> None:
        """A call is over."""


class BaseListener:
    """A Listener whom nothing concerns: who hears of something only inherits the rest."""

    def attempt_failed(self, event: AttemptFailed) -> None:
        """Nothing."""

    def attempt_ended(self, event: AttemptEnded) -> None:
        """Nothing."""

    def endpoint_state_changed(self, event: EndpointStateChanged) -> None:
        """Nothing."""

    def call_finished(self, event: CallFinished) -> None:
        """Nothing."""


class Listeners:
    """Several listeners as one; each is told everything, in order."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def attempt_failed(self, event: AttemptFailed) -> None:
        """An attempt did not lead to an answer."""
        for listener in self._listeners:
            listener.attempt_failed(event)

    def attempt_ended(self, event: AttemptEnded) -> None:
        """An attempt is over, and the answer that it led to."""
        for listener in self._listeners:
            listener.attempt_ended(event)

    def endpoint_state_changed(self, event: EndpointStateChanged) -> None:
        """An endpoint left the healthy state or came back."""
        for listener in self._listeners:
            listener.endpoint_state_changed(event)

    def call_finished(self, event: CallFinished) -> None:
        """A call is over."""
        for listener in self._listeners:
            listener.call_finished(event)
