"""How the proxy stands, in one word, and what it knows together with other instances: as `/health`
and `/admin/state` tell it."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel

if TYPE_CHECKING:
    from llmproxy.routing import Group
    from llmproxy.runtime import Live, Runtime

Standing = Literal["ok", "degraded", "down"]
Status = Literal["ok", "degraded", "down", "draining"]


class Shared(BaseModel):
    """What is known together with other instances. Not connected: each keeps to its part of every
    limit."""

    connected: bool
    instances: int
    why: str | None
    since_s: float


def standing_of(group: Group, now: float) -> Standing:
    """`degraded`: an endpoint of the group is out; `down`: all are."""
    out = [not state.available(now) for state in group.states]
    return "down" if all(out) else "degraded" if any(out) else "ok"


def status_of(live: Live, groups: Iterable[Standing]) -> Status:
    """The worst of the groups, unless the process is going down."""
    if live.draining:
        return "draining"
    found = set(groups)
    return "down" if "down" in found else "degraded" if "degraded" in found else "ok"


def shared_of(runtime: Runtime) -> Shared | None:
    """None: there are no other instances."""
    if runtime.shared is None:
        return None
    status = runtime.shared.status(monotonic())
    return Shared(
        connected=status.connected,
        instances=status.instances,
        why=status.why,
        since_s=round(status.since_s, 3),
    )
