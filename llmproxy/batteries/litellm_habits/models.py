"""`/model/info` and `/model_group/info`: the endpoints that an asker's calls may use.

No base URL and no credential is shown: who asks may be a client.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from fastapi import APIRouter, HTTPException, Request

from llmproxy.batteries.admin.auth import require
from llmproxy.batteries.admin.people import AdminRole
from llmproxy.batteries.litellm_habits.asking import LitellmRoute, client_of
from llmproxy.config import Price
from llmproxy.providers.base import Endpoint
from llmproxy.routing import Group, Pool
from llmproxy.runtime import LiveConfig

View = dict[str, Any]


def model_routes(live: LiveConfig) -> APIRouter:
    """Return the routes that describe models."""
    router = APIRouter(route_class=LitellmRoute, include_in_schema=False)

    @router.get("/model/info")
    @router.get("/v1/model/info")
    async def model_info(request: Request, litellm_model_id: str | None = None) -> View:
        """Return every endpoint, in the shape of LiteLLM's deployments."""
        pool = await _pool_of(live, request)
        views = [
            endpoint_view(group, state.endpoint)
            for group in pool.groups.values()
            for state in group.states
            if litellm_model_id in (None, state.endpoint.name)
        ]
        if litellm_model_id is not None and not views:
            raise HTTPException(404, f"There is no endpoint {litellm_model_id!r} here.")
        return {"data": views}

    @router.get("/model_group/info")
    async def model_group_info(request: Request, model_group: str | None = None) -> View:
        """Return every model group."""
        pool = await _pool_of(live, request)
        groups = (group for group in pool.groups.values() if model_group in (None, group.name))
        return {"data": [group_view(group) for group in groups]}

    return router


async def _pool_of(live: LiveConfig, request: Request) -> Pool:
    """Return the groups that an asker may see: a client those it may use, a viewer all."""
    client = client_of(live, request)
    if client is not None:
        return live.runtime.callers.pool_of(client.caller)
    await require(AdminRole.VIEWER)(request)
    return live.runtime.pool


def endpoint_view(group: Group, endpoint: Endpoint) -> View:
    """Return an endpoint as a deployment of LiteLLM's. What is not known is null."""
    provider, model = endpoint.provider.name, endpoint.model or group.name
    limits = endpoint.limits
    return {
        "model_name": group.name,
        "litellm_params": {
            **{"model": f"{provider}/{model}", "custom_llm_provider": provider},
            **{"rpm": limits.rpm, "tpm": limits.tpm, "weight": endpoint.weight},
        },
        "model_info": {
            **{"id": endpoint.name, "db_model": False, "key": model, "mode": None},
            **{"litellm_provider": provider, **prices_of(endpoint)},
            **{"max_tokens": None, "max_input_tokens": None, "max_output_tokens": None},
        },
    }


def group_view(group: Group) -> View:
    """Return a group in LiteLLM's shape. Of several prices, the highest is shown, as there."""
    endpoints = [state.endpoint for state in group.states]
    prices = [prices_of(endpoint) for endpoint in endpoints]
    limits = [endpoint.limits for endpoint in endpoints]

    def highest(name: str) -> float | None:
        known = [value for price in prices if (value := price[name]) is not None]
        return max(known, default=None)

    return {
        **{"model_group": group.name, "mode": None},
        "providers": sorted({endpoint.provider.name for endpoint in endpoints}),
        **{name: highest(name) for name in ("input_cost_per_token", "output_cost_per_token")},
        **{"rpm": _sum(limit.rpm for limit in limits), "tpm": _sum(limit.tpm for limit in limits)},
        **{"max_input_tokens": None, "max_output_tokens": None},
    }


def prices_of(endpoint: Endpoint) -> dict[str, float | None]:
    """Return the prices of an endpoint's model by the token."""
    price = endpoint.price
    if not isinstance(price, Price):
        names = "input_cost_per_token", "output_cost_per_token", "cache_read_input_token_cost"
        return dict.fromkeys(names)
    cached = price.input if price.cached_input is None else price.cached_input
    return {
        "input_cost_per_token": _of_one_token(price.input),
        "output_cost_per_token": _of_one_token(price.output),
        "cache_read_input_token_cost": _of_one_token(cached),
    }


def _sum(limits: Iterator[int | None]) -> int | None:
    """Return the sum of limits; None if one of them is not known."""
    found = list(limits)
    return None if None in found else sum(limit for limit in found if limit is not None)


def _of_one_token(of_a_million: float) -> float:
    return float(Decimal(str(of_a_million)).scaleb(-6))  # a division would add a digit at the end
