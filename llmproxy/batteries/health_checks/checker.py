"""Checks the endpoints that need it, each within half a minute, at a random moment."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from llmproxy.batteries.health_checks.findings import Finding, needs_check, settle
from llmproxy.batteries.health_checks.request import look_at, target_of
from llmproxy.batteries.settings import full
from llmproxy.config import Config
from llmproxy.errors import Overload, TimedOut, UpstreamError
from llmproxy.events import EndpointChange, HealthChecked
from llmproxy.providers.base import Endpoint
from llmproxy.routing import EndpointState

if TYPE_CHECKING:
    from llmproxy.runtime import LiveConfig, Runtime

MAX_AT_ONCE = 64


@dataclass(frozen=True)
class Pace:
    """How often endpoints are checked.

    An endpoint is checked `least_s` to `most_s` after its last call or check. The moment is random,
    so that several instances do not check it at the same time.
    """

    tick_s: float = 1.0
    least_s: float = 10.0
    most_s: float = 22.0
    timeout_s: float = 5.0


class Watch(msgspec.Struct):
    """When one endpoint is due for a check.

    `since`: when it began to need checks, or when the last one ended. `wait_s`: the pause after
    that. `cleared_at`: when a check last found that it need not be set aside any more.
    """

    since: float
    wait_s: float
    cleared_at: float = -inf


class Place(NamedTuple):
    """One endpoint of a group, before a check. `heard_at`: when a call last ended there."""

    group: str
    states: Sequence[EndpointState]
    state: EndpointState
    heard_at: float


class HealthChecks:
    """Checks endpoints, and changes their state by what it finds. Each process has its own checks.

    One check serves all endpoints with the same address and key, in whatever group.
    """

    def __init__(
        self, live: LiveConfig, pace: Pace, *, draw: Callable[[], float] = random.random
    ) -> None:
        self._live = live
        self._pace = pace
        self._draw = draw
        self._watches: dict[EndpointState, Watch] = {}
        self._under_way: set[object] = set()
        self._slots = asyncio.Semaphore(MAX_AT_ONCE)

    async def run(self) -> None:
        """Check endpoints until the task is cancelled."""
        self._under_way.clear()
        async with asyncio.TaskGroup() as checks:
            while True:
                await asyncio.sleep(self._pace.tick_s)
                runtime = self._live.runtime
                for address, mode, places in self._due(runtime, monotonic()):
                    self._under_way.add(address)
                    checks.create_task(self._check(runtime, address, mode, places))

    def _due(self, runtime: Runtime, now: float) -> Iterable[tuple[object, str, list[Place]]]:
        """Yield each address that is due for a check, with all endpoints there that need one."""
        places: dict[object, tuple[str, list[tuple[bool, Place]]]] = {}
        modes: dict[tuple[str, str], str] | None = None
        watches = {}
        for group in runtime.pool.groups.values():
            watched = self._watches.keys() & group.states
            for state in dict.fromkeys((*group.with_failures(), *watched)):
                watch = self._watches.get(state)
                if not needs_check(state, now):
                    if watch is not None:
                        watch.since, watches[state] = now, watch
                    continue
                if modes is None:
                    modes = modes_of(runtime.config)
                mode = modes[group.name, state.endpoint.name]
                if mode == "off":
                    continue
                watches[state] = watch = watch or Watch(now, self._wait_s())
                heard_at = max(state.past.failed_at, state.past.served_at)
                is_due = now - max(watch.since, heard_at) >= watch.wait_s
                address = address_of(state.endpoint, mode)
                known = places.setdefault(address, (mode, []))
                known[1].append((is_due, Place(group.name, group.states, state, heard_at)))
        self._watches = watches
        for address, (mode, found) in places.items():
            if any(is_due for is_due, _ in found) and address not in self._under_way:
                yield address, mode, [place for _, place in found]

    async def _check(
        self, runtime: Runtime, address: object, mode: str, places: Sequence[Place]
    ) -> None:
        try:
            async with self._slots:
                finding = await self._look(runtime, places[0].state.endpoint, mode)
        finally:
            self._under_way.discard(address)
        if finding is None or self._live.runtime is not runtime:
            return  # the config was replaced, and its connections may have been closed
        now = monotonic()
        for place in places:
            self._settle(runtime, place, finding, now)
        self._live.process.rooms.serve()

    async def _look(self, runtime: Runtime, endpoint: Endpoint, mode: str) -> Finding | None:
        """Return what a check finds; None if this machine has no connection or memory for it."""
        maker, until = runtime.resources.attempts, monotonic() + self._pace.timeout_s
        try:
            finding, credential = await look_at(maker.client, endpoint, mode, until=until)
        except UpstreamError as failure:  # no token
            return failure
        except Overload:
            return None
        if isinstance(finding, UpstreamError) and maker.masking is not None:
            maker.masking.conceal(finding, None, endpoint, credential)
        return None if isinstance(finding, TimedOut) and finding.phase == "pool" else finding

    def _settle(self, runtime: Runtime, place: Place, finding: Finding, now: float) -> None:
        """Apply and report a check of one endpoint, unless a call has ended there meanwhile."""
        state, past = place.state, place.state.past
        watch = self._watches.setdefault(state, Watch(now, 0.0))
        watch.since, watch.wait_s = now, self._wait_s()
        if place.heard_at != max(past.failed_at, past.served_at) or not needs_check(state, now):
            return
        if isinstance(finding, UpstreamError):
            finding.endpoint = state.endpoint.name
        result, changes = settle(
            place.states,
            state,
            finding,
            now,
            draw=self._draw(),
            is_believed=watch.cleared_at <= past.served_at,
        )
        name = state.endpoint.name
        runtime.listener.health_checked(HealthChecked(place.group, name, result))
        for change in changes:
            if change.what is EndpointChange.CLEARED:
                watch.cleared_at = now
            runtime.listener.endpoint_state_changed(change.event(place.group))

    def _wait_s(self) -> float:
        pace = self._pace
        return pace.least_s + (pace.most_s - pace.least_s) * self._draw()


def address_of(endpoint: Endpoint, mode: str) -> object:
    """Return where a check goes, and with which key. Endpoints with equal ones share a check."""
    key = (endpoint.credential, endpoint.token_source, endpoint.extra_headers)
    return endpoint.origin, target_of(endpoint, mode), key


def modes_of(config: Config) -> dict[tuple[str, str], str]:
    """Return the `health_check` of each endpoint, by group and name."""
    default = full(config.general_settings).health_check
    return {
        (group.model_group, str(entry.name)): entry.health_check or default
        for group in config.model_groups
        for entry in group.models
    }
