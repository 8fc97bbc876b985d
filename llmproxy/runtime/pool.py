"""The pool of a config: the state of each endpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain

from llmproxy.config import Config, GeneralSettings
from llmproxy.protocols import AffinityMaker
from llmproxy.providers import endpoints_of
from llmproxy.providers.base import Endpoint, Endpoints
from llmproxy.routing import EndpointState, Group, Pool
from llmproxy.routing.group import Hedging
from llmproxy.routing.strategies import WEIGHTED, Strategies
from llmproxy.routing.token_estimates import OutputBounds, TokenEstimates
from llmproxy.rules.breaker import Breaker
from llmproxy.rules.capacity import Capacity


class States:
    """Makes the states of the endpoints of a config, and the capacities of their accounts.

    An account has one capacity for all groups that give it the same limits. `known`: the groups of
    an earlier config by name, which keep what they have learned.
    """

    def __init__(self, settings: GeneralSettings, known: Mapping[str, Group] | None = None) -> None:
        self.settings = settings
        self.known = known or {}
        self.capacities: dict[str, Capacity] = {}

    def state(self, endpoint: Endpoint, *, alone: bool) -> EndpointState:
        """Return the state of an endpoint. `alone`: its group has no other."""
        settings = self.settings
        breaker = Breaker(allowed_fails=settings.allowed_fails, open_s=settings.cooldown_time)
        return EndpointState(endpoint, breaker, self.capacity(endpoint), alone=alone)

    def capacity(self, endpoint: Endpoint) -> Capacity:
        """Return the capacity of an endpoint's account."""
        key, limits = capacity_key(endpoint), endpoint.limits
        capacity = self.capacities.get(key)
        if capacity is None:
            capacity = self.capacities[key] = self.new_capacity(endpoint)
            capacity.change_limits(
                key, rpm=limits.rpm, tpm=limits.tpm, concurrent=limits.concurrent
            )
        return capacity

    def new_capacity(self, endpoint: Endpoint) -> Capacity:
        """Return a capacity for an account that has none with these limits."""
        return Capacity(fixed_windows=endpoint.provider.fixed_windows)


def pool_of(
    config: Config,
    *,
    endpoints: Endpoints | None = None,
    states: States | None = None,
    estimates: Callable[[], TokenEstimates] = OutputBounds,
    hedging: Callable[[], Hedging] | None = None,
    strategies: Strategies = WEIGHTED,
    affinity: AffinityMaker | None = None,
) -> Pool:
    """Return the state of every endpoint of a config. `endpoints`: its own, if already made.

    `estimates`, `hedging`, `affinity`: make those of a group.
    """
    if endpoints is None:
        endpoints = endpoints_of(config)
    settings, entries = config.general_settings, config.model_groups
    states = states or States(settings)
    spill_wait_s = settings.queue.spill_wait_s
    groups: dict[str, Group] = {}
    for entry in entries:
        name, strategy = entry.model_group, entry.strategy or settings.strategy
        alone = len(endpoints[name]) == 1
        members = [states.state(endpoint, alone=alone) for endpoint in endpoints[name]]
        group = states.known.get(name)
        if group is None:
            group = Group(name, estimates())
        groups[name] = group
        group.update(members, strategies[strategy], spill_wait_s=spill_wait_s)
        if affinity is not None:
            group.affinity = affinity(entry, settings, group)
        if alone or hedging is None:
            group.hedging = None
        else:
            group.hedging = group.hedging or hedging()
            group.hedging.adopt(settings, members)
    _link_by_key(groups)
    aliases = {alias: entry.model_group for entry in entries for alias in entry.all_aliases}
    unlisted = chain.from_iterable(entry.hidden_aliases for entry in entries)
    return Pool(groups, aliases, unlisted=frozenset(unlisted))


def _link_by_key(groups: Mapping[str, Group]) -> None:
    """Let each endpoint know those of all groups that have its address and credential."""
    members: dict[object, list[EndpointState]] = {}
    for state in (state for group in groups.values() for state in group.states):
        endpoint = state.endpoint
        key = (endpoint.origin, endpoint.credential, endpoint.token_source)
        state.same_key = members.setdefault(key, []) if endpoint.has_own_credential else ()
        if endpoint.has_own_credential:
            members[key].append(state)


def capacity_key(endpoint: Endpoint) -> str:
    """Return what names the capacity of an endpoint: its account and limits."""
    limits = endpoint.limits
    return f"{endpoint.account}:{limits.rpm}:{limits.tpm}:{limits.concurrent}"
