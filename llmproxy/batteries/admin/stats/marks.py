"""What happened beside the traffic: starts, reloads, drained endpoints and outages, for the charts.

The sampler notes them in memory as it sees them. Those of before the start, and of other instances,
are actions of operators, which the store keeps in its audit.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

from pydantic import BaseModel

from llmproxy.batteries.admin.stats.status import AVAILABLE, EndpointStatus

KEPT = 500
# Cooldowns are no outages: an endpoint that throttles has one every minute.
OUTAGES = (EndpointStatus.OPEN, EndpointStatus.MISCONFIGURED)

Kind = Literal["start", "reload", "drain", "enable", "outage", "back"]


class Mark(BaseModel):
    """Something that happened at a moment (Unix seconds). `subject`: to which endpoint or group."""

    at: float
    what: Kind
    subject: str | None = None


class Marks:
    """Owns what this process has seen, the oldest first."""

    def __init__(self, now: float) -> None:
        self.started_at = now
        self._seen: deque[Mark] = deque([Mark(at=now, what="start")], maxlen=KEPT)
        self._out: set[str] = set()

    def reloaded(self, now: float) -> None:
        """Note that another config was taken over."""
        self._seen.append(Mark(at=now, what="reload"))

    def changed(
        self, now: float, subject: str, before: EndpointStatus, status: EndpointStatus
    ) -> None:
        """Note a change of an endpoint's state, if a person would ask about it."""
        what: Kind | None = None
        if status is EndpointStatus.DRAINED:
            what = "drain"
        elif before is EndpointStatus.DRAINED:
            what = "enable"
        elif status in OUTAGES and subject not in self._out:
            what = "outage"
            self._out.add(subject)
        elif status in AVAILABLE and subject in self._out:
            what = "back"
            self._out.discard(subject)
        if what is not None:
            self._seen.append(Mark(at=now, what=what, subject=subject))

    def since(self, start: float) -> list[Mark]:
        """Return what was seen since then."""
        return [mark for mark in self._seen if mark.at >= start]
