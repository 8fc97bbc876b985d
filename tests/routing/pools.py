"""Pools of endpoints for tests of routing, and calls; nothing is sent."""

from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.strategies import ALL_STRATEGIES
from llmproxy.calls import Call, Patience
from llmproxy.operations import operation_at
from llmproxy.operations.rate_limits import RateLimit, RateLimits
from llmproxy.operations.table import Replay, Route
from llmproxy.routing import CallDemand
from llmproxy.runtime import pool_of

DRAW = 0.5
ON_THE_WAY_S = 0.1  # within which a request has reached its vendor


def pool(*entries, strategy="weighted", **settings):
    """A pool with one group `g` of endpoints, given as (name, weight, tier) and, optionally, their
    limits."""
    lines = [
        f"      - {{name: {name}, model: m, weight: {weight}, tier: {tier},"
        f" limits: {_flow(limits)}, params: {{api_key: k, base_url: 'http://{name}.test/v1'}}}}"
        for name, weight, tier, *limits in entries
    ]
    general = {"strategy": strategy, "cooldown_time": 10, "allowed_fails": 1, **settings}
    text = "\n".join(
        ["model_groups:", "  - model_group: g", "    models:", *lines, "general_settings:"]
        + [f"  {key}: {value}" for key, value in general.items()]
    )
    return pool_of(parse_config(text, {}, file="test.yaml"), strategies=ALL_STRATEGIES)


def group(*entries, **settings):
    return pool(*entries, **settings).groups["g"]


def by_name(group):
    return {state.endpoint.name: state for state in group.states}


def fail(state, now):
    """A call to it fails."""
    checkout = state.begin(0, now)
    checkout.failed(now, DRAW)
    checkout.end(now)


def tell(state, remaining, reset_s, *, limit=100, now=0.0, tokens=False):
    """Its answers say so much of requests (or of tokens), as of now."""
    checkout = state.begin(0, now - ON_THE_WAY_S)
    reported = RateLimit(limit, remaining, reset_s)
    checkout.learn(RateLimits(tokens=reported) if tokens else RateLimits(requests=reported))
    checkout.end(now)


def served(group, demand=None, now=0.0):
    """The endpoint that gives a newcomer a checkout, which is not ended; None if none does."""
    checkout = group.take_as_newcomer(demand or CallDemand(), now)
    return None if checkout is None else checkout.state.endpoint.name


def _flow(limits):
    inside = ", ".join(f"{name}: {value}" for limit in limits for name, value in limit.items())
    return f"{{{inside}}}"


def call(model=None, *, path="chat/completions", bound_to_account=False, method="POST"):
    route = Route(path, operation_at(path), Replay.SAFE, bound_to_account)
    return Call(
        id="x",
        method=method,
        route=route,
        query=b"",
        headers=[],
        body=b"",
        model=model,
        model_in_body=model,
        stream=False,
        replay=Replay.SAFE,
        bound_to_account=bound_to_account,
        client="",
        received_at=0,
        patience_s=1,
        patience=Patience(1),
        ends_at=1,
    )
