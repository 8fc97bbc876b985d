"""Calls that wait for capacity: what becomes of a checkout when its call has gone."""

import asyncio
from time import monotonic

import pytest

from llmproxy.pipeline.failover.waiting import WaitingRooms
from llmproxy.routing import CallDemand
from tests.routing.pools import group
from tests.support.run import bounded


@bounded()
async def test_a_checkout_that_is_given_just_as_its_client_leaves_goes_to_the_next_call():
    one = group(("a", 1, 0, {"concurrent": 1}))
    room, (state,) = WaitingRooms().of(one), one.states
    first = one.take(CallDemand(), monotonic())
    leaving, staying = (
        asyncio.create_task(room.wait(CallDemand(), at_most_s=30.0)) for _ in range(2)
    )
    await asyncio.sleep(0)
    assert len(one.queue) == 2
    first.end(monotonic())
    room.serve()
    assert len(one.queue) == 1, "the first of them was given its checkout"
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    checkout = await staying
    assert (state.in_flight, len(one.queue)) == (1, 0)
    checkout.end(monotonic())
    assert state.in_flight == 0


@bounded()
async def test_a_client_that_leaves_while_it_waits_leaves_the_queue():
    one = group(("a", 1, 0, {"concurrent": 1}))
    room = WaitingRooms().of(one)
    first = one.take(CallDemand(), monotonic())
    leaving = asyncio.create_task(room.wait(CallDemand(), at_most_s=30.0))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    first.end(monotonic())
    room.serve()
    assert (len(one.queue), one.states[0].in_flight) == (0, 0)
