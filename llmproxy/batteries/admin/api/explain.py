"""`/admin/explain`: where a call would go now, without sending it."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel

from llmproxy.batteries.admin.stats import finite
from llmproxy.batteries.money import dollars
from llmproxy.batteries.settings import full
from llmproxy.batteries.spend import nano_usd
from llmproxy.config import Price
from llmproxy.operations import Usage
from llmproxy.routing import CallDemand, EndpointState, Group, Pool, Tier

if TYPE_CHECKING:
    from llmproxy.config import Config
    from llmproxy.runtime import LiveConfig


class Candidate(BaseModel):
    """An endpoint that might serve the call.

    `takes`: it is healthy and has capacity. `share`: the part of its tier's next calls that the
    strategy gives it. `room_in_s`: seconds until it has capacity; null: not by itself. `changes`:
    what it may change of a call, such as `drops temperature` or `translates chat to messages`;
    null: nothing. `least_usd`: what the tokens would cost if all of them were input, `most_usd`: if
    all were output, in dollars; null: without tokens, or if the endpoint has no price.
    """

    endpoint: str
    takes: bool
    share: float
    why: str | None
    room_in_s: float | None
    changes: str | None = None
    least_usd: str | None = None
    most_usd: str | None = None


class TierExplanation(BaseModel):
    """Endpoints of equal preference; a call goes to the first tier that takes it."""

    tier: int
    endpoints: list[Candidate]


class Explanation(BaseModel):
    """What a call with so many tokens would do now, and why."""

    model: str
    group: str
    tokens: int
    would: str
    tiers: list[TierExplanation]
    fallbacks: list[str]


def explain_routes(live: LiveConfig) -> APIRouter:
    """Return the route of `/admin/explain`."""
    router = APIRouter()

    @router.get("/explain")
    async def explain(
        model: Annotated[str, Query(description="as a client would name it")],
        tokens: Annotated[
            int, Query(ge=0, description="estimated input tokens and the output bound")
        ] = 0,
        caller: Annotated[
            str | None, Query(description="whose aliases and groups; default: all groups")
        ] = None,
    ) -> Explanation:
        """Return where a call would go now."""
        runtime = live.runtime
        callers = [known.name for known in full(runtime.config.general_settings).callers]
        if caller not in (None, *callers):
            raise HTTPException(404, f"There is no caller {caller!r}.")
        try:
            pool = runtime.callers.pool_of(caller)
            return explained_call(model, tokens, pool, runtime.config)
        except LookupError as error:
            raise HTTPException(404, str(error)) from error

    return router


def explained_call(model: str, tokens: int, pool: Pool, config: Config) -> Explanation:
    """Return what a call would do now. Raises LookupError for a model that no group serves."""
    group = pool.group_named(model)
    if group is None:
        names = ", ".join(pool.names)
        raise LookupError(f"The model {model!r} is in no group. There are: {names}.")
    (entry,) = (entry for entry in config.model_groups if entry.model_group == group.name)
    max_wait_s = config.general_settings.queue.max_wait_s
    return explained(
        model, group, tokens, monotonic(), max_wait_s=max_wait_s, fallbacks=entry.fallbacks
    )


def explained(
    model: str,
    group: Group,
    tokens: int,
    now: float,
    *,
    max_wait_s: float,
    fallbacks: Sequence[str] = (),
) -> Explanation:
    """Return what a call would do at a moment. Changes nothing."""
    demand = CallDemand(tokens)
    tiers = [_tier(number, tier, demand, now) for number, tier in enumerate(group.tiers)]
    would = _would(group, tiers, demand, now, max_wait_s)
    if would is None and fallbacks:
        would = f"fall back to {fallbacks[0]}"
    return Explanation(
        model=model,
        group=group.name,
        tokens=tokens,
        would=would or f"fail: {_why_none(tiers)}",
        tiers=tiers,
        fallbacks=list(fallbacks),
    )


def _would(
    group: Group, explanations: list[TierExplanation], demand: CallDemand, now: float, max_s: float
) -> str | None:
    wait_s = inf
    for tier, explanation in zip(group.tiers, explanations, strict=True):
        chosen = [candidate.endpoint for candidate in explanation.endpoints if candidate.share]
        if chosen and not group.queue.waiters:
            if 0 < wait_s <= group.spill_wait_s:
                return f"wait {wait_s:.1f} s for room in a cheaper tier"
            *others, last = chosen
            return f"go to {', '.join(others)} or {last}" if others else f"go to {last}"
        wait_s = min(wait_s, tier.available_in_s(demand, now, *group.queue.position(0)))
    return f"wait {wait_s:.1f} s for room" if wait_s <= max_s else None


def _why_none(explanations: list[TierExplanation]) -> str:
    return "; ".join(
        f"{candidate.endpoint}: {candidate.why}"
        for explanation in explanations
        for candidate in explanation.endpoints
        if candidate.why
    )


def _tier(number: int, tier: Tier, demand: CallDemand, now: float) -> TierExplanation:
    weights = tier.weights(demand, now)
    shares = tier.shares(weights, now)
    total = sum(shares) or 1.0
    return TierExplanation(
        tier=number,
        endpoints=[
            _candidate(state, weight > 0, share / total, demand.tokens, now)
            for state, weight, share in zip(tier.states, weights, shares, strict=True)
        ],
    )


def _candidate(
    state: EndpointState, takes: bool, share: float, tokens: int, now: float
) -> Candidate:
    endpoint = state.endpoint
    changes = [str(endpoint.edit or ""), *set(map(str, endpoint.translators.values()))]
    least_usd, most_usd = _costs(endpoint.price, tokens)
    return Candidate(
        endpoint=endpoint.name,
        takes=takes,
        share=round(share, 3),
        why=None if takes else state.why_not(tokens, now),
        room_in_s=finite(state.available_in_s(tokens, now)),
        changes="; ".join(filter(None, changes)) or None,
        least_usd=least_usd,
        most_usd=most_usd,
    )


def _costs(price: Price | str, tokens: int) -> tuple[str | None, str | None]:
    """Return what so many tokens cost at least and at most, without a vendor's cache."""
    if isinstance(price, str) or not tokens:
        return None, None
    costs = [nano_usd(price, usage) for usage in (Usage(tokens, 0), Usage(0, tokens))]
    return dollars(min(costs)), dollars(max(costs))
