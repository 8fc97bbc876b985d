"""Sends batches of spans, tries again where that may help, and logs it. Blocks."""

from __future__ import annotations

import logging
from threading import Event
from typing import Protocol

from llmproxy.batteries.telemetry.tracing.collector import CollectorAnswer

# Between the tries of a batch, unless the collector asks for another wait.
PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0)
MAX_PAUSE_S = 60.0

logger = logging.getLogger("llmproxy")


class Receiver(Protocol):
    """What takes requests."""

    def post(self, body: bytes, /) -> CollectorAnswer:
        """Send a request, and wait for the answer."""

    def close(self) -> None:
        """Close the connection."""


class SpanSender:
    """Sends batches to a receiver; `name`: of that, for the log.

    `lost`: the calls whose spans were not accepted.
    """

    def __init__(self, receiver: Receiver, name: str) -> None:
        self.lost = 0
        self._receiver = receiver
        self._name = name
        self._lost_before = 0  # at the last success
        self._failing = False

    def send(self, body: bytes, *, calls: int, stopping: Event) -> None:
        """Send the spans of some calls. `stopping`: set, there is one try and no pause."""
        for pause_s in (*PAUSES_S, None):
            answer = self._receiver.post(body)
            if answer.accepted:
                self._succeeded()
                return
            self._failed(answer.why)
            if pause_s is None or not answer.may_be_repeated:
                break
            asked_s = pause_s if answer.retry_after_s is None else answer.retry_after_s
            if stopping.wait(min(asked_s, MAX_PAUSE_S)):
                break
        self.lost += calls

    def close(self) -> None:
        """Close the receiver."""
        self._receiver.close()

    def _failed(self, why: str) -> None:
        if not self._failing:
            logger.warning(
                "Traces do not reach %s: %s. Calls are not affected. This is logged once.",
                self._name,
                why[:300].rstrip("."),
            )
        self._failing = True

    def _succeeded(self) -> None:
        if self._failing:
            lost = self.lost - self._lost_before
            logger.warning(
                "Traces reach %s again. The traces of %d calls are lost.", self._name, lost
            )
        self._failing = False
        self._lost_before = self.lost
