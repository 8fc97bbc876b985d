"""The story of one call, top to bottom. Each step has a file of its own in pipeline/."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial

from llmproxy.calls import Call, Request
from llmproxy.protocols import Client, Downstream
from llmproxy.record import CallRecord
from llmproxy.routing import Group
from llmproxy.runtime import Runtime


async def answer(request: Request, runtime: Runtime, client: Client, record: CallRecord) -> None:
    """Answer one call: from the parsed request to the last byte.

    Raises a GatewayError. If `client.started` by then, the client has already received an error.
    """
    async with runtime.intake.read(request, record) as call:
        pool, owners = runtime.callers.pool_of(call.caller), runtime.owners
        stateful = None if owners is None else owners.answering(call, pool)
        group = None if stateful is not None else pool.group_for(call)
        async with runtime.heartbeat.during(call, client, record) as downstream:
            if group is not None:
                await answer_in(runtime, call, group, downstream, record)
            elif stateful is not None:  # by the account that keeps what the call names
                await stateful(downstream, record, partial(answer_in, runtime))


def answer_in(
    runtime: Runtime, call: Call, group: Group, client: Client, record: CallRecord
) -> Awaitable[None]:
    """Answer from the cache, from an identical call in flight, or else by `ask`."""
    record.group, cache = group.name, runtime.cache
    if cache is not None and (lookup := cache.lookup(call, group, record)):
        record.limit_headers = runtime.callers.limit_headers(call)
        return cache.answer(lookup, client, record, partial(ask, call, group, runtime))
    return ask(call, group, runtime, client, record)


async def ask(
    call: Call, group: Group, runtime: Runtime, client: Downstream, record: CallRecord
) -> None:
    """Ask the endpoints of a group, charge the caller, and relay the first accepted answer."""
    async with (
        runtime.admit(call, group, record),
        runtime.first_accepted(call, group, record) as accepted,  # commit point
    ):
        await runtime.relay.relay(accepted, client, record)
