"""Carries the state of groups, endpoints and accounts over from one config to the next.

The same objects are used again, not copied, so that attempts under way and later ones are counted
in the same place. A group is the same if its name is, and keeps the calls in its wait queue. An
endpoint is the same if its group, name and account are. The capacity of an account stays with the
account, even if its limits change.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

from llmproxy.config import GeneralSettings
from llmproxy.providers.base import Endpoint, Endpoints
from llmproxy.routing import EndpointState, Group, Pool
from llmproxy.rules.capacity import Capacity
from llmproxy.runtime import States, capacity_key


class CarriedOver(States):
    """Finds or makes the states of the endpoints of a config.

    The next pool uses objects of the pool before, which must get no further calls.
    """

    def __init__(self, settings: GeneralSettings, before: Pool, endpoints: Endpoints) -> None:
        super().__init__(settings, known=before.groups)
        wanted: dict[str, bool] = {}
        for endpoint in chain.from_iterable(endpoints.values()):
            wanted.setdefault(capacity_key(endpoint), endpoint.provider.fixed_windows)
        # By account, capacities with other limits than before. The first endpoint of the account
        # takes it over, with the requests that it has counted.
        self._released: dict[str, Capacity] = {}
        for state in chain.from_iterable(group.states for group in before.groups.values()):
            capacity = state.capacity
            if wanted.get(capacity.key) is capacity.fixed_windows:
                self.capacities[capacity.key] = capacity
            else:
                self._released[state.endpoint.account] = capacity

    def state(self, endpoint: Endpoint, *, alone: bool) -> EndpointState:
        """Return the state of an endpoint, with all that is known if it is the same as before."""
        state = super().state(endpoint, alone=alone)
        known = _state_of(self.known, endpoint)
        if known is None:
            return state
        if not _is_same(known.endpoint, endpoint):
            if known.drained:  # only the operator ends a drain
                state.cool(known.cooldown_until, known.cooldown_why)
            return state
        breaker = known.breaker
        breaker.allowed_fails, breaker.open_s = state.breaker.allowed_fails, state.breaker.open_s
        if known.capacity is state.capacity:
            known.update(endpoint, alone=alone)
            return known
        state.breaker = breaker
        state.cool(known.cooldown_until, known.cooldown_why)
        return state

    def new_capacity(self, endpoint: Endpoint) -> Capacity:
        """Return the capacity that the account had with other limits, else a new one."""
        released = self._released.pop(endpoint.account, None)
        if released is None or released.fixed_windows != endpoint.provider.fixed_windows:
            return super().new_capacity(endpoint)
        return released


def reset_endpoints(before: Pool, endpoints: Endpoints) -> list[str]:
    """Return, in words, which endpoints keep their name but not their state."""
    return [
        f"{group}/{endpoint.name}: has another address or credential: its state is reset"
        for group, members in endpoints.items()
        for endpoint in members
        if (known := _state_of(before.groups, endpoint)) and not _is_same(known.endpoint, endpoint)
    ]


def _state_of(groups: Mapping[str, Group], endpoint: Endpoint) -> EndpointState | None:
    group = groups.get(endpoint.group)
    states = group.states if group is not None else ()
    return next((state for state in states if state.endpoint.name == endpoint.name), None)


def _is_same(known: Endpoint, endpoint: Endpoint) -> bool:
    return known.provider is endpoint.provider and known.account == endpoint.account
