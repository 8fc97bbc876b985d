"""The accounts behind the endpoints of a pool, and the part of a group that one account serves.

An account is an address and a credential: what a vendor keeps under ids belongs to it, whichever
model or deployment a call names. So an endpoint's model is no part of it, as it is of the account
for which limits are counted (`Endpoint.account`).
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import msgspec

from llmproxy.calls import Call
from llmproxy.operations.dialects import MESSAGES
from llmproxy.providers.base import Endpoint
from llmproxy.routing import EndpointState, Group, Pool, Tier
from llmproxy.routing.strategies import WEIGHTED

VERSION = b"anthropic-version"  # a call with it speaks Anthropic's API, on any path


class Owner(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Who keeps something: an account, and the endpoint through which it was made.

    `caller`: whose it is; None: without configured callers, or it was made elsewhere.
    """

    account: str
    group: str
    endpoint: str
    caller: str | None = None


def account_of(endpoint: Endpoint) -> str:
    """Return a digest of an endpoint's address and credential: equal on every instance, and
    without information about the key."""
    place = (endpoint.scheme, endpoint.host, str(endpoint.port), endpoint.token_source or "")
    parts = [part.encode() for part in place]
    parts.append(endpoint.prefix)
    parts += [value for _, value in (*endpoint.credential, *endpoint.extra_headers)]
    return blake2b(b"\0".join(parts), digest_size=12).hexdigest()


class Accounts:
    """The accounts of one pool. Made once for each pool, which never changes.

    `several`: there is more than one.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._account_of = {
            state: account_of(state.endpoint)
            for group in pool.groups.values()
            for state in group.states
        }
        self.several = len(set(self._account_of.values())) > 1
        self._parts: dict[tuple[Group, str], Group] = {}
        self._counts: dict[Group, int] = {}

    def of_group(self, group: Group) -> list[str]:
        """Return the accounts of a group, each once, in the order of its endpoints."""
        return list(dict.fromkeys(self._account_of[state] for state in group.states))

    def in_group(self, group: Group) -> int:
        """Return how many accounts a group has."""
        count = self._counts.get(group)
        if count is None:
            count = self._counts[group] = len(self.of_group(group))
        return count

    def owner_of(self, group: str | None, endpoint: str | None, caller: str | None) -> Owner | None:
        """Return the owner that an endpoint's account is; None if it is not in this pool."""
        for state in self._states_of(group):
            if state.endpoint.name == endpoint:
                return Owner(self._account_of[state], group or "", state.endpoint.name, caller)
        return None

    def account_now(self, owner: Owner) -> str | None:
        """Return the account of an owner in this pool; None if it is not there any more.

        An account whose key was exchanged is found by the name of its endpoint.
        """
        if owner.account in self._account_of.values():
            return owner.account
        for state in self._states_of(owner.group):
            if state.endpoint.name == owner.endpoint:
                return self._account_of[state]
        return None

    def part(self, group: Group, account: str) -> Group | None:
        """Return the part of a group that an account serves; None if it has no endpoint there.

        It has the group's name, and shares the states of its endpoints with it: limits, breakers,
        health. It has no fallbacks, and nothing is hedged.
        """
        part = self._parts.get((group, account))
        if part is None:
            states = [state for state in group.states if self._account_of[state] == account]
            if not states:
                return None
            part = self._parts[group, account] = _part_of(group, states)
        return part

    def part_of(self, owner: Owner) -> Group | None:
        """Return the part of the owner's group, else of any group, that its account serves.

        One with an endpoint that is not drained comes first.
        """
        account = self.account_now(owner)
        if account is None:
            return None
        own = self._pool.groups.get(owner.group)
        groups = ([] if own is None else [own]) + list(self._pool.groups.values())
        parts = [part for group in groups if (part := self.part(group, account))]
        return next((part for part in parts if not is_drained(part)), parts[0] if parts else None)

    def parts_for(self, call: Call, group: Group | None = None) -> list[Group]:
        """Return a part for each account that may keep what a call asks about, each account once.

        Those of one API: Anthropic's for calls that speak it, the others for all other calls.
        `group`: only its accounts.
        """
        states = self._account_of if group is None else group.states
        fitting = [state for state in states if speaks(state.endpoint, call)] or list(states)
        accounts = dict.fromkeys(self._account_of[state] for state in fitting)
        name = "" if group is None else group.name
        owners = (Owner(account, name, "") for account in accounts)
        return [part for owner in owners if (part := self.part_of(owner))]

    def account_of_part(self, part: Group) -> str:
        """Return the account of a part."""
        return self._account_of[part.states[0]]

    def group_for(self, call: Call) -> Group:
        """Return the group where a call that names none creates something: `*`, else the first
        group that has an endpoint for it."""
        groups = self._pool.groups
        if "*" in groups:
            return groups["*"]
        fitting = (
            group
            for group in groups.values()
            if any(speaks(state.endpoint, call) for state in group.states)
        )
        return next(fitting, next(iter(groups.values())))

    def fitting(self, group: Group, call: Call) -> Group:
        """Return the part of a group that has the API which a call speaks; all of it if no
        endpoint or each one has."""
        states = [state for state in group.states if speaks(state.endpoint, call)]
        if len(states) in (0, len(group.states)):
            return group
        key = (group, " ".join(state.endpoint.name for state in states))
        if key not in self._parts:
            self._parts[key] = _part_of(group, states)
        return self._parts[key]

    def _states_of(self, group: str | None) -> Iterable[EndpointState]:
        found = self._pool.groups.get(group or "")
        return () if found is None else found.states


def speaks(endpoint: Endpoint, call: Call) -> bool:
    """Whether an endpoint has the API that a call about stored state speaks."""
    anthropic = call.route.dialect is MESSAGES or any(name == VERSION for name, _ in call.headers)
    return (endpoint.provider.name == "anthropic") == anthropic


def is_drained(group: Group) -> bool:
    """Whether the operator has drained all endpoints of a group."""
    return all(state.drained for state in group.states)


def _part_of(group: Group, states: list[EndpointState]) -> Group:
    part = Group(group.name, group.estimates)
    part.budget = group.budget
    part.states = tuple(states)
    part.takes_client_keys = not all(state.endpoint.has_own_credential for state in states)
    weighted = WEIGHTED["weighted"]
    part.tiers = [Tier(members, weighted) for members in weighted.tiers(states)]
    part.spill_wait_s = group.spill_wait_s
    return part
