"""The proxy's state as last received, and how each payload changes it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from llmproxy.tools.top.payloads import (
    Calls,
    History,
    NewPoint,
    Point,
    ShownGroup,
    ShownProxy,
    Trace,
)

POINTS_KEPT = 180
CALLS_KEPT = 200
NOTICE_S = 15.0
SAME_START_S = 2.0  # several workers start one after the other


@dataclass(frozen=True)
class Lost:
    """The connection is lost. `why`: with the remedy; `brief`: only the reason."""

    why: str
    brief: str


@dataclass(frozen=True)
class Refused:
    """The proxy refuses access; asking again would not help."""

    why: str


Heard = ShownProxy | History | NewPoint | Calls | Lost | Refused


@dataclass(frozen=True)
class View:
    """What is shown. `only`: the one group to show. Times are Unix seconds of this machine.

    `heard_at`: when the last ShownProxy came. `lost`: when the connection was lost, and why.
    `notice`: something that has just happened, and until when to show it.
    """

    only: str | None = None
    state: ShownProxy | None = None
    heard_at: float = 0.0
    points: tuple[Point, ...] = ()
    step_s: float = 5.0
    calls: tuple[Trace, ...] = ()
    lost: tuple[float, str] | None = None
    notice: tuple[str, float] | None = None

    @property
    def groups(self) -> tuple[ShownGroup, ...]:
        """The groups to show."""
        groups = () if self.state is None else self.state.groups
        return tuple(group for group in groups if self.only in (None, group.group))

    @property
    def status(self) -> str:
        """The status of the proxy, or of the group if only one is shown and the proxy does not
        drain."""
        if self.state is None:
            return "unknown"
        if self.only is None or self.state.status == "draining":
            return self.state.status
        return self.groups[0].status if self.groups else "down"

    def after(self, heard: Heard, now: float) -> View:
        """Return the view after a payload received at `now`."""
        match heard:
            case ShownProxy():
                return self._with_state(heard, now)
            case History():
                return replace(self, points=heard.points[-POINTS_KEPT:], step_s=heard.step_s)
            case NewPoint():
                before = tuple(point for point in self.points if point.at < heard.point.at)
                points = (*before, heard.point)[-POINTS_KEPT:]
                return replace(self, points=points, step_s=heard.step_s)
            case Calls():
                return replace(self, calls=self._with_calls(heard.calls))
            case Lost():
                since = now if self.lost is None else self.lost[0]
                return replace(self, lost=(since, heard.brief), notice=None)
            case Refused():
                return replace(self, lost=(now, heard.why), notice=None)
            case _:
                assert_never(heard)

    def _with_state(self, state: ShownProxy, now: float) -> View:
        notice = self.notice
        before = self.state
        if before is not None and abs(before.started_at - state.started_at) > SAME_START_S:
            notice = ("The proxy was restarted.", now + NOTICE_S)
        elif self.lost is not None:
            notice = ("Connected again.", now + NOTICE_S)
        elif notice is not None and notice[1] <= now:
            notice = None
        return replace(self, state=state, heard_at=now, lost=None, notice=notice)

    def _with_calls(self, calls: tuple[Trace, ...]) -> tuple[Trace, ...]:
        """Return the calls, newest first, each once."""
        meant = [call for call in calls if self.only in (None, call.group)]
        known = {(call.id, call.at): call for call in (*self.calls, *meant)}
        return tuple(sorted(known.values(), key=lambda call: -call.at)[:CALLS_KEPT])
