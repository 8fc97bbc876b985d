"""Since when each endpoint is in its state."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING

from llmproxy.batteries.admin.stats.status import EndpointStatus, endpoint_status

if TYPE_CHECKING:
    from llmproxy.batteries.admin.stats.marks import Marks
    from llmproxy.routing import EndpointState, Group
    from llmproxy.runtime import LiveConfig

Name = tuple[str, str]  # of an endpoint: its group, and its own


class StatusTimes:
    """Owns the state of each endpoint at the last look, and notes changes in `marks`.

    A look asks only the endpoints that are perhaps not ok, or were not at the last look: among
    hundreds that are, it costs next to nothing. Times are Unix seconds.
    """

    def __init__(self, live: LiveConfig, marks: Marks, now: float) -> None:
        self._live = live
        self._marks = marks
        self._known: dict[Name, tuple[EndpointStatus, float]] = {}
        self._not_ok: set[Name] = set()
        self.look_at_all(now)

    def since(self, group: str, endpoint: str) -> float | None:
        """Return since when an endpoint is in its state; None for one that is not known."""
        known = self._known.get((group, endpoint))
        return None if known is None else known[1]

    def look_at_all(self, now: float) -> None:
        """Begin with the endpoints of another config; what is known of those that stay, stays."""
        groups, ok = self._live.runtime.pool.groups.values(), (EndpointStatus.OK, now)
        names = [(group.name, state.endpoint.name) for group in groups for state in group.states]
        self._known = {name: self._known.get(name, ok) for name in names}
        self._not_ok &= self._known.keys()
        self.look(now)

    def look(self, now: float) -> None:
        """Note which endpoints are in another state than at the last look."""
        moment = monotonic()
        found = dict.fromkeys(self._not_ok, EndpointStatus.OK)
        for group in self._live.runtime.pool.groups.values():
            for state in _perhaps_not_ok(group, moment):
                found[group.name, state.endpoint.name] = endpoint_status(state, moment)
        for name, status in found.items():
            before, _ = self._known[name]
            if status is not before:
                self._marks.changed(now, name[1], before, status)
                self._known[name] = status, now
        self._not_ok = {name for name, status in found.items() if status is not EndpointStatus.OK}


def _perhaps_not_ok(group: Group, now: float) -> Iterable[EndpointState]:
    full = [s for s in group.states if s.capacity.bounded and not s.capacity.has_room(0, now)]
    return (*group.with_failures(), *full)
