"""What the callers of one config and their teams may do: their groups and their limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from glob import escape

import msgspec

from llmproxy.batteries.callers.access import PatternPool, Patterns
from llmproxy.batteries.callers.identity import Identity, TeamRules, TeamSource
from llmproxy.batteries.callers.limits import Bounds, CallerLimits
from llmproxy.batteries.settings import Team
from llmproxy.routing import Pool
from llmproxy.rules.capacity import Capacity

# Shares the limits of a capacity with the other instances.
Share = Callable[[Capacity], None]
MAX_IN_USE = 20_000  # members, limits: beyond it, those that were not used lately are made again


class CallerInUse(msgspec.Struct, frozen=True, gc=False):
    """A caller in use. `limits`: its own and its team's. `version`: of the teams."""

    identity: Identity
    version: int
    pool: Pool
    limits: tuple[CallerLimits, ...]
    blocked: bool  # its team is


class LimitsInUse:
    """What callers and teams have used of their limits. Lives as long as the process."""

    def __init__(self) -> None:
        self._recent: dict[str, CallerLimits] = {}
        self._older: dict[str, CallerLimits] = {}

    def begin(self) -> None:
        """Forget what was not used since the last time."""
        self._older, self._recent = self._recent, {}

    def of(self, kind: str, name: str, bounds: Bounds) -> tuple[CallerLimits, bool] | None:
        """Return the limits of a caller or a team, and whether they are new; None without any."""
        if not (bounds.rpm or bounds.tpm or bounds.concurrent):
            return None
        key = f"{kind}:{name}"
        limits = self._recent.get(key)
        is_new = limits is None
        if limits is None:
            if len(self._recent) >= MAX_IN_USE:
                self.begin()
            limits = self._recent[key] = self._older.get(key) or CallerLimits(kind, name)
        limits.change(bounds)
        return limits, is_new

    def capacities(self) -> Iterator[Capacity]:
        """Yield the capacity of each."""
        for limits in self._recent.values():
            yield limits.capacity


class CallersInUse:
    """The callers in use under one config, by name. `own`: the pools of configured callers.

    `teams`: of the config, which come before those of `source`.
    """

    def __init__(
        self,
        pool: Pool,
        teams: Iterable[Team],
        *,
        own: Mapping[str, Pool],
        source: TeamSource | None,
        limits: LimitsInUse,
        share: Share,
    ) -> None:
        self._pool = pool
        self._own = own
        self._teams = {team.name: _team_of(team) for team in teams}
        self._source = source
        self._limits = limits
        self._share = share
        self._pools: dict[tuple[Pool, tuple[Patterns, ...]], Pool] = {}
        self._recent: dict[str, CallerInUse] = {}
        self._older: dict[str, CallerInUse] = {}

    def of(self, identity: Identity) -> CallerInUse:
        """Return the member with this identity, made anew if it or its team has changed."""
        version = 0 if self._source is None else self._source.version
        member = self._recent.get(identity.name)
        if member is None or member.identity is not identity or member.version != version:
            member = self._made(identity, version)
            if len(self._recent) >= MAX_IN_USE:
                self._older, self._recent = self._recent, {}
            self._recent[identity.name] = member
        return member

    def named(self, name: str) -> CallerInUse | None:
        """Return the member of this name, if it was in use lately."""
        return self._recent.get(name) or self._older.get(name)

    def capacities(self) -> Iterator[Capacity]:
        """Yield the capacity of each caller and team with limits."""
        return self._limits.capacities()

    def team_named(self, name: str) -> TeamRules | None:
        """Return a team, of the config or made at run time."""
        team = self._teams.get(name)
        return self._source.team_named(name) if team is None and self._source else team

    def _made(self, identity: Identity, version: int) -> CallerInUse:
        team = None if identity.team is None else self.team_named(identity.team)
        pool = self._own.get(identity.name, self._pool) if identity.key is None else self._pool
        of_both = identity.models, None if team is None else team.models
        lists = tuple(models for models in of_both if models is not None)
        if lists:
            key = pool, lists
            if len(self._pools) >= MAX_IN_USE:
                self._pools.clear()
            pool = self._pools.get(key) or self._pools.setdefault(key, PatternPool(pool, lists))
        limits = [self._limits_of("caller", identity.name, identity)]
        if team is not None:
            limits.append(self._limits_of("team", team.name, team))
        found = tuple(known for known in limits if known is not None)
        return CallerInUse(identity, version, pool, found, team is not None and team.blocked)

    def _limits_of(self, kind: str, name: str, bounds: Bounds) -> CallerLimits | None:
        found = self._limits.of(kind, name, bounds)
        if found is None:
            return None
        limits, is_new = found
        if is_new:
            self._share(limits.capacity)
        if bounds.tpm:
            for group in self._pool.groups.values():
                group.estimates.needed = True
        return limits


def _team_of(team: Team) -> TeamRules:
    models = None if team.groups is None else tuple(map(escape, team.groups))
    limits = team.limits
    return TeamRules(team.name, models, limits.rpm, limits.tpm, limits.concurrent)
