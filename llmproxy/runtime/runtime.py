"""The steps of a call, built from one config."""

from __future__ import annotations

import random
from functools import partial

from llmproxy.config import Config
from llmproxy.events import Listeners
from llmproxy.pipeline.anonymous import AnonymousClients
from llmproxy.pipeline.failover import AttemptMaker, Failover, FirstAccepted
from llmproxy.pipeline.intake import Intake
from llmproxy.pipeline.no_heartbeat import NoHeartbeat
from llmproxy.pipeline.relay import Relay, told_usage, unmetered
from llmproxy.protocols import AskGroup, Callers, Heartbeat, Listener, Peers
from llmproxy.routing import Pool
from llmproxy.routing.actions import AttemptPolicy
from llmproxy.routing.strategies import WEIGHTED
from llmproxy.routing.token_estimates import OutputBounds
from llmproxy.rules.capacity import Capacity
from llmproxy.runtime.pool import States, pool_of
from llmproxy.runtime.process_state import ProcessState
from llmproxy.runtime.resources import Resources
from llmproxy.streams import STALLED_S


class Runtime:
    """Made by `activate`. Serves the calls that begin while its config is the current one.

    `calls`: how many of them are under way. `resources` are closed after the last one.
    """

    def __init__(
        self, resources: Resources, process: ProcessState, pool: Pool, callers: Callers
    ) -> None:
        settings = resources.config.general_settings
        self.resources = resources
        self.pool = pool
        self.callers = callers
        self.calls = 0
        self.listener: Listener = process.listener
        if resources.peers is not None:
            self.listener = Listeners(process.listener, resources.peers.listener)
        labels = process.batteries.labels
        read_labels = None if labels is None else labels(settings)
        self.intake = Intake(settings, process.batteries.form_reader, read_labels)
        self.cache = resources.cache
        self.owners = None if resources.owners is None else resources.owners(pool)
        self.heartbeat: Heartbeat = NoHeartbeat()
        heartbeat_s = None
        if process.batteries.heartbeat is not None:
            heartbeat_s = settings.queue.heartbeat_s
            self.heartbeat = process.batteries.heartbeat(heartbeat_s)
        self.admit = callers.limiting(process.admission.admit)
        self.first_accepted = self.asking_by(resources.attempts)
        timeouts = settings.timeouts
        usage_of_streams = process.batteries.usage_of_streams
        price_call, cost_headers = resources.price_call, process.batteries.cost_headers
        self.relay = Relay(
            usage_of=told_usage if usage_of_streams is None else usage_of_streams(pool),
            meter=process.batteries.meter or unmetered,
            idle_s=timeouts.idle_s,
            stalled_s=min(timeouts.total_s, STALLED_S),
            heartbeat_s=heartbeat_s,
            cost_headers=cost_headers and price_call and cost_headers(settings, price_call),
        )

    def asking_by(self, maker: AttemptMaker) -> AskGroup:
        """Return what asks the endpoints of a group by the attempts that `maker` makes."""
        settings, process = self.config.general_settings, self.resources.process
        stage = Failover(
            maker,
            self.listener,
            AttemptPolicy(settings.num_retries + 1, settings.queue),
            draw=random.random,
            rooms=process.rooms,
        )
        ask = partial(FirstAccepted, stage)
        fallbacks = process.batteries.fallbacks
        return ask if fallbacks is None else fallbacks(ask, self.config, self.pool)

    @property
    def config(self) -> Config:
        """The config that it was made from."""
        return self.resources.config

    @property
    def in_flight(self) -> int:
        """The number of calls in flight, of all configs together."""
        return self.resources.process.admission.in_flight

    @property
    def peers(self) -> Peers | None:
        """The other instances; None = nothing is shared."""
        return self.resources.peers

    def capacities(self) -> tuple[Capacity, ...]:
        """Return the capacities of all accounts and callers."""
        return (*self.pool.capacities(), *self.callers.capacities())


def activate(resources: Resources, process: ProcessState, states: States | None = None) -> Runtime:
    """Make the runtime of a config, and hand the state of the process over to it.

    `states`: those of the endpoints; None = new ones. Nothing is awaited: no call sees one half.
    """
    config = resources.config
    pool = pool_of(
        config,
        endpoints=resources.endpoints,
        states=states,
        estimates=process.batteries.token_estimates or OutputBounds,
        hedging=process.batteries.hedging,
        strategies=process.batteries.strategies or WEIGHTED,
        affinity=process.batteries.affinity,
    )
    callers: Callers = AnonymousClients(pool)
    if process.batteries.callers is not None:
        share = partial(_share, peers=resources.peers)
        callers = process.batteries.callers.serve(config.general_settings, pool, share)
    runtime = Runtime(resources, process, pool, callers)
    if process.batteries.budgets is not None:
        process.batteries.budgets.serve(runtime)
    if resources.cache is not None:
        resources.cache.serve(config, resources.prices)
    for capacity in runtime.capacities():
        _share(capacity, resources.peers)
    process.rooms.on_shortage = None
    if resources.peers is not None:  # instances must not all begin with the same endpoint
        process.rooms.on_shortage = resources.peers.report_shortage
        resources.peers.serve(pool)
        for group in pool.groups.values():
            group.randomise_start(random.random)
    process.install(config.general_settings, pool)
    process.rooms.serve()
    return runtime


def _share(capacity: Capacity, peers: Peers | None) -> None:
    quota = None
    if peers is not None:
        quota = peers.quota_of(capacity.key, capacity.quota, smooth=capacity.fixed_windows)
    if quota is not capacity.quota:
        capacity.share(quota)
