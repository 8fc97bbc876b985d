"""The pool of a config: the state of each endpoint, taken over from the previous config's pool.

State is kept in the same objects, not copied, so that attempts under way and later ones are
counted in the same place. A group is kept by its name, with the calls in its wait queue; an
endpoint by group, name and account; the capacity of an account by the account, even if its limits
change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import chain
from math import inf

from llmproxy.config import Config, GeneralSettings
from llmproxy.errors import CONTENT_FILTER, CONTEXT_LENGTH_EXCEEDED
from llmproxy.protocols import PriceList
from llmproxy.providers import endpoints_of
from llmproxy.providers.base import Endpoint
from llmproxy.routing import EndpointState, Group, Pool
from llmproxy.routing.strategies import STRATEGIES, Strategy
from llmproxy.routing.strategies import Price as PriceOf
from llmproxy.routing.token_estimates import OutputBounds, TokenEstimates
from llmproxy.rules.breaker import Breaker
from llmproxy.rules.capacity import Capacity
from llmproxy.rules.prices import blended
from llmproxy.runtime.prices import no_list, price_of

Endpoints = Mapping[str, tuple[Endpoint, ...]]


def pool_of(
    config: Config,
    *,
    endpoints: Endpoints | None = None,
    before: Pool | None = None,
    price_list: PriceList = no_list,
    estimates: Callable[[], TokenEstimates] = OutputBounds,
) -> Pool:
    """Return the state of every endpoint of a config. `endpoints`: its own, if already made.

    `before`: the pool of the previous config. Groups and endpoints that are in both keep their
    state: the new pool takes over the objects, so `before` must not get further calls.
    `estimates`: makes those of a new group.
    """
    if endpoints is None:
        endpoints = endpoints_of(config)
    settings = config.general_settings
    known = before.groups if before is not None else {}
    states = _States(settings, known, endpoints)
    groups: dict[str, Group] = {}
    for group in config.model_groups:
        name, strategy = group.model_group, STRATEGIES[group.strategy or settings.strategy]
        groups[name] = _group(
            states.of(endpoints[name]),
            strategy=strategy,
            name=name,
            settings=settings,
            price=partial(_blended_price, price_list=price_list),
            estimates=estimates,
            before=known.get(name),
        )
    for group in config.model_groups:
        here = groups[group.model_group]
        here.fallbacks = tuple(groups[name] for name in group.fallbacks)
        rejected = {
            CONTEXT_LENGTH_EXCEEDED: group.context_window_fallbacks,
            CONTENT_FILTER: group.content_filter_fallbacks,
        }
        here.rejected_fallbacks = {
            code: tuple(groups[name] for name in names) for code, names in rejected.items() if names
        }
    return Pool(groups)


def reset_endpoints(before: Pool, endpoints: Endpoints) -> list[str]:
    """Return, in words, which endpoints keep their name but not their state."""
    return [
        f"{group}/{endpoint.name}: has another address or credential: its state is reset"
        for group, members in endpoints.items()
        for endpoint in members
        if (known := _state_of(before.groups, endpoint)) and not _is_same(known.endpoint, endpoint)
    ]


def _group(
    states: list[EndpointState],
    *,
    strategy: Strategy,
    name: str,
    settings: GeneralSettings,
    price: PriceOf,
    estimates: Callable[[], TokenEstimates],
    before: Group | None,
) -> Group:
    spill_wait_s = settings.queue.spill_wait_s
    if before is None:
        group = Group(
            *(name, states, strategy), spill_wait_s=spill_wait_s, price=price, estimates=estimates()
        )
    else:
        group = before
        group.update(states, strategy, spill_wait_s=spill_wait_s, price=price)
    group.hedges.share = settings.hedge_budget if settings.hedge == "auto" else 0.0
    group.hedges.after_s = settings.hedge_after_s
    return group


class _States:
    """Finds or makes the states of endpoints and the capacities of their accounts.

    An account has one capacity for all groups that give it the same limits.
    """

    def __init__(
        self, settings: GeneralSettings, known: Mapping[str, Group], endpoints: Endpoints
    ) -> None:
        self._settings = settings
        self._known = known
        wanted: dict[str, bool] = {}
        for endpoint in chain.from_iterable(endpoints.values()):
            wanted.setdefault(_key(endpoint), endpoint.provider.fixed_windows)
        self._capacities: dict[str, Capacity] = {}
        # Of accounts whose limits are others now: the first that asks goes on with what was sent.
        self._released: dict[str, Capacity] = {}
        for state in chain.from_iterable(group.states for group in known.values()):
            capacity = state.capacity
            if wanted.get(capacity.key) is capacity.fixed_windows:
                self._capacities[capacity.key] = capacity
            else:
                self._released[state.endpoint.account] = capacity

    def of(self, endpoints: Iterable[Endpoint]) -> list[EndpointState]:
        """Return the states of the endpoints of a group."""
        members = tuple(endpoints)
        return [self._state(endpoint, alone=len(members) == 1) for endpoint in members]

    def _state(self, endpoint: Endpoint, *, alone: bool) -> EndpointState:
        settings = self._settings
        known = _state_of(self._known, endpoint)
        same = known is not None and _is_same(known.endpoint, endpoint)
        breaker = Breaker(allowed_fails=settings.allowed_fails, open_s=settings.cooldown_time)
        if known is not None and same:
            breaker = known.breaker
            breaker.allowed_fails, breaker.open_s = settings.allowed_fails, settings.cooldown_time
        capacity = self._capacity(endpoint)
        if known is not None and same and known.capacity is capacity:
            known.update(endpoint, alone=alone)
            return known
        state = EndpointState(endpoint, breaker, capacity, alone=alone)
        if known is not None and (same or known.drained):  # a drain is the operator's word
            state.cool(known.cooldown_until, known.cooldown_why)
        if known is not None and same:
            state.promptness = known.promptness
        return state

    def _capacity(self, endpoint: Endpoint) -> Capacity:
        key, limits, fixed = _key(endpoint), endpoint.limits, endpoint.provider.fixed_windows
        capacity = self._capacities.get(key)
        if capacity is not None:
            return capacity
        capacity = self._released.pop(endpoint.account, None)
        if capacity is None or capacity.fixed_windows != fixed:
            capacity = Capacity(fixed_windows=fixed)
        capacity.change_limits(key, rpm=limits.rpm, tpm=limits.tpm, concurrent=limits.concurrent)
        self._capacities[key] = capacity
        return capacity


def _key(endpoint: Endpoint) -> str:
    limits = endpoint.limits
    return f"{endpoint.account}:{limits.rpm}:{limits.tpm}:{limits.concurrent}"


def _state_of(groups: Mapping[str, Group], endpoint: Endpoint) -> EndpointState | None:
    group = groups.get(endpoint.group)
    states = group.states if group is not None else ()
    return next((state for state in states if state.endpoint.name == endpoint.name), None)


def _is_same(known: Endpoint, endpoint: Endpoint) -> bool:
    return known.provider is endpoint.provider and known.account == endpoint.account


def _blended_price(state: EndpointState, *, price_list: PriceList) -> float:
    """Return the price of a call, which orders the tiers; an unknown price comes last."""
    price = price_of(state.endpoint, price_list)
    return inf if price is None else blended(price)
