"""Everything that the story of a call needs, made from one config."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from llmproxy.events import Listeners
from llmproxy.pipeline.callers import Callers
from llmproxy.pipeline.failover import Failover
from llmproxy.pipeline.heartbeat import Heartbeat
from llmproxy.pipeline.intake import Intake
from llmproxy.pipeline.relay import Relay
from llmproxy.routing.actions import AttemptPolicy
from llmproxy.rules.capacity import Capacity
from llmproxy.runtime.pool import pool_of
from llmproxy.runtime.process_state import ProcessState
from llmproxy.runtime.resources import Resources
from llmproxy.shared_state.quota import Lease

if TYPE_CHECKING:
    from llmproxy.shared_state.view import SharedState


class Runtime:
    """Takes over what the one before it knew, and what it has open is closed by `close`.

    `shared`: what is known together with other instances; None = there are none. `prices` by group
    and endpoint, of those that have one. `calls`: how many have begun with it and are not over.
    """

    def __init__(self, opened: Resources, process: ProcessState) -> None:
        config = self.config = opened.config
        settings = config.general_settings
        self.calls = 0
        self.close = opened.held.aclose
        self.prices = opened.prices
        self.shared = opened.shared
        self.listener = process.listener
        if self.shared is not None:
            self.listener = Listeners(process.listener, self.shared)
        self.pool = pool_of(config, endpoints=opened.endpoints, before=process.pool)
        self.callers = Callers(settings.callers, self.pool, process.callers)
        self.capacities = (*self.pool.capacities(), *self.callers.capacities())
        self.intake = Intake(settings)
        self.cache = opened.cache
        self.cache.serve(config, self.prices)
        self.heartbeat = Heartbeat(settings.queue.heartbeat_s)
        self.admission = process.admission
        self.failover = Failover(
            opened.attempts,
            self.listener,
            AttemptPolicy(settings.num_retries + 1, settings.queue),
            draw=random.random,
            rooms=process.rooms,
        )
        self.relay = Relay(idle_s=settings.timeouts.idle_s)
        self._share()
        process.adopt(settings, self.pool, self.callers)
        self.failover.capacity_freed()

    def _share(self) -> None:
        """Let other instances know what is dispatched, and begin out of step with them."""
        for capacity in self.capacities:
            _share(capacity, self.shared)
        if self.shared is not None:
            for group in self.pool.groups.values():
                group.randomise_start(random.random)


def _share(capacity: Capacity, shared: SharedState | None) -> None:
    if shared is None:
        if capacity.quota is not None:
            capacity.share(None)
    elif not shared.has(capacity.key, capacity.quota):
        lease = Lease(smooth=capacity.fixed_windows)
        capacity.share(lease)
        shared.add(capacity.key, lease)
