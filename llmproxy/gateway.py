"""The story of one call, top to bottom. Each step has a file of its own in pipeline/."""

from __future__ import annotations

from functools import partial

from llmproxy.calls import Call, Client, Downstream, Request, Trail
from llmproxy.routing import Group
from llmproxy.runtime import Runtime


async def answer(request: Request, runtime: Runtime, client: Client, trail: Trail) -> None:
    """Answer one call: from the parsed request to the last byte.

    Raises a GatewayError; if `client.started` by then, the client has already been told.
    """
    async with runtime.intake.read(request, trail) as call:
        group = runtime.callers.pool_of(call.caller).group_for(call)
        trail.group = group.name
        async with (
            runtime.callers.admit(call, group, trail),
            runtime.heartbeat.during(call, client, trail) as downstream,
        ):
            asked = runtime.cache.asked(call, group, trail)
            if asked is None:
                await ask(call, group, runtime, downstream, trail)
            else:  # it may be known, or on its way already; else it is asked like any other
                asking = partial(ask, call, group, runtime)
                await runtime.cache.answer(asked, downstream, trail, asking)


async def ask(call: Call, group: Group, runtime: Runtime, client: Downstream, trail: Trail) -> None:
    """Ask the endpoints of a group, and relay what the first of them answers."""
    async with (
        runtime.admission.admit(call, trail),
        runtime.failover.first_accepted(call, group, trail) as accepted,  # commit point
    ):
        await runtime.relay.relay(accepted, client, trail)
