"""The story of one call, top to bottom. Each step has a file of its own in stages/."""

from __future__ import annotations

from llmproxy.calls import Downstream, Request, Trail
from llmproxy.runtime import Runtime


async def answer(request: Request, runtime: Runtime, client: Downstream, trail: Trail) -> None:
    """Answer one call: from the parsed request to the last byte.

    Raises a GatewayError; if `client.started` by then, the client has already been told.
    """
    async with runtime.intake.read(request, trail) as call:
        group = runtime.callers.pool_of(call.caller).group_for(call)
        trail.group = group.name
        async with runtime.callers.admit(call, group, trail):
            asked = runtime.cache.asked(call, group, trail)
            if asked is not None and runtime.cache.replayed(asked, call, client, trail):
                return
            async with (
                runtime.heartbeat.during(call, client, trail) as downstream,
                runtime.admission.admit(call, trail),
                runtime.failover.first_accepted(call, group, trail) as accepted,  # commit point
            ):
                await runtime.relay.relay(accepted, downstream, trail)
                if asked is not None:
                    runtime.cache.remember(asked, accepted, trail)
