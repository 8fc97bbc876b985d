"""`/admin/explain`: where a call would go now, without sending it."""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel

from llmproxy.admin.stats import finite
from llmproxy.routing import CallDemand, EndpointState, Group, Pool, Tier

if TYPE_CHECKING:
    from llmproxy.runtime import LiveConfig


class Candidate(BaseModel):
    """An endpoint. `share`: its part of the next calls, of those that its tier takes; `room_in_s`:
    null = not by itself."""

    endpoint: str
    takes: bool
    share: float
    why: str | None
    room_in_s: float | None


class TierExplanation(BaseModel):
    """Endpoints of equal preference; the first tier is asked first."""

    tier: int
    endpoints: list[Candidate]


class Explanation(BaseModel):
    """What would happen to a call with so many tokens."""

    model: str
    group: str
    tokens: int
    would: str
    tiers: list[TierExplanation]
    fallbacks: list[str]


def explain_routes(live: LiveConfig) -> APIRouter:
    """`/admin/explain`."""
    router = APIRouter()

    @router.get("/explain")
    async def explain(
        model: Annotated[str, Query(description="as a client would name it")],
        tokens: Annotated[
            int, Query(ge=0, description="estimated input tokens and the output bound")
        ] = 0,
    ) -> Explanation:
        """Where a call would go now."""
        runtime = live.runtime
        pool = runtime.pool
        group = group_of(model, pool)
        if group is None:
            raise HTTPException(404, no_such_group(model, pool))
        queue = runtime.config.general_settings.queue
        return explained(model, group, tokens, monotonic(), max_wait_s=queue.max_wait_s)

    return router


def group_of(model: str, pool: Pool) -> Group | None:
    """The group that a client's model name leads to."""
    return pool.groups.get(model) or pool.groups.get(pool.WILDCARD)


def no_such_group(model: str, pool: Pool) -> str:
    """For whoever named a model that no group has."""
    return f"The model {model!r} is in no group. There are: {', '.join(pool.groups)}."


def explained(
    model: str, group: Group, tokens: int, now: float, *, max_wait_s: float
) -> Explanation:
    """What would happen at this moment. Changes nothing."""
    tiers = [_tier_told(number, tier, tokens, now) for number, tier in enumerate(group.tiers)]
    return Explanation(
        model=model,
        group=group.name,
        tokens=tokens,
        would=_would(group, tiers, CallDemand(tokens), now, max_wait_s),
        tiers=tiers,
        fallbacks=[each.name for each in group.fallbacks],
    )


def _would(
    group: Group, tiers: list[TierExplanation], demand: CallDemand, now: float, max_wait_s: float
) -> str:
    wait_s = inf
    for tier, told in zip(group.tiers, tiers, strict=True):
        taking = [each.endpoint for each in told.endpoints if each.takes]
        if taking and not group.line.places:
            if 0 < wait_s <= group.spill_wait_s:
                return f"wait {wait_s:.1f} s for room in a cheaper tier"
            return f"go to {' or '.join(taking)}"
        wait_s = min(wait_s, tier.available_in_s(demand, now, *group.line.ahead_of(0)))
    if wait_s <= max_wait_s:
        return f"wait {wait_s:.1f} s for room"
    if group.fallbacks:
        return f"fall back to {group.fallbacks[0].name}"
    skipped = "; ".join(
        f"{each.endpoint}: {each.why}" for told in tiers for each in told.endpoints if each.why
    )
    return f"fail: {skipped}"


def _tier_told(number: int, tier: Tier, tokens: int, now: float) -> TierExplanation:
    weights = [_weight(state, tokens, now) for state in tier.states]
    whole = sum(weights) or 1.0
    return TierExplanation(
        tier=number,
        endpoints=[
            _candidate(state, weight / whole, tokens, now)
            for state, weight in zip(tier.states, weights, strict=True)
        ],
    )


def _weight(state: EndpointState, tokens: int, now: float) -> float:
    """Its weight among those that take the call, as the turns count it."""
    if not state.takes(tokens, now):
        return 0.0
    return (state.endpoint.weight or 1) * state.breaker.share(now)


def _candidate(state: EndpointState, share: float, tokens: int, now: float) -> Candidate:
    takes, room_in_s = share > 0, state.available_in_s(tokens, now)
    return Candidate(
        endpoint=state.endpoint.name,
        takes=takes,
        share=round(share, 3),
        why=None if takes else state.why_not(tokens, now),
        room_in_s=finite(room_in_s),
    )
