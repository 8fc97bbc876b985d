"""Admission: a bound on what is in flight, a short queue, retries shed first."""

import asyncio

import pytest

from llmproxy.batteries.admission import BoundedAdmission
from llmproxy.batteries.settings import FullSettings
from llmproxy.calls import Patience
from llmproxy.errors import Overload
from llmproxy.record import CallRecord
from llmproxy.routing import Group
from llmproxy.routing.token_estimates import OutputBounds
from tests.routing.pools import call
from tests.support.run import bounded

GROUP = Group("g", OutputBounds())


def bounded_to(**settings):
    """Admission with these bounds."""
    admission = BoundedAdmission()
    admission.limit_to(FullSettings(**settings))
    return admission


def patient(*headers):
    """A call with time left."""
    import msgspec

    return msgspec.structs.replace(call("g"), headers=list(headers), patience=Patience(10.0**9))


@bounded()
async def test_calls_beyond_the_bound_wait_their_turn_and_beyond_the_queue_are_refused():
    admission = bounded_to(max_in_flight=2, max_queued=2)
    order, may_leave = [], asyncio.Event()

    async def run(number):
        async with admission.admit(patient(), GROUP, CallRecord()):
            order.append(number)
            await may_leave.wait()

    running = [asyncio.ensure_future(run(number)) for number in range(4)]
    await asyncio.sleep(0)
    assert order == [0, 1]
    with pytest.raises(Overload) as caught:
        await run(4)
    assert caught.value.status == 503
    assert caught.value.retry_after_s > 0
    assert "max_in_flight" in caught.value.message
    may_leave.set()
    await asyncio.gather(*running)
    assert order == [0, 1, 2, 3]
    assert admission.in_flight == 0


@bounded()
async def test_an_sdks_retry_is_shed_before_a_first_try():
    admission = bounded_to(max_in_flight=1, max_queued=2)
    async with admission.admit(patient(), GROUP, CallRecord()):
        waiting = asyncio.ensure_future(_enter(admission, patient()))
        await asyncio.sleep(0)
        with pytest.raises(Overload):
            await _enter(admission, patient((b"x-stainless-retry-count", b"1")))
        first_try = asyncio.ensure_future(
            _enter(admission, patient((b"x-stainless-retry-count", b"0")))
        )
        await asyncio.sleep(0)
        assert not first_try.done()
    await asyncio.gather(waiting, first_try)


@bounded()
async def test_a_caller_that_gives_up_in_the_queue_takes_no_place():
    admission = bounded_to(max_in_flight=1, max_queued=5)
    async with admission.admit(patient(), GROUP, CallRecord()):
        leaving = asyncio.ensure_future(_enter(admission, patient()))
        staying = asyncio.ensure_future(_enter(admission, patient()))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.sleep(0)
    await staying
    assert admission.in_flight == 0


@bounded()
async def test_a_wait_ends_at_the_calls_deadline():
    import msgspec

    admission = bounded_to(max_in_flight=1, max_queued=5)
    now = asyncio.get_running_loop().time()
    async with admission.admit(patient(), GROUP, CallRecord()):
        with pytest.raises(Overload):
            await _enter(
                admission, msgspec.structs.replace(patient(), patience=Patience(now + 0.05))
            )
        assert asyncio.get_running_loop().time() - now < 1


async def _enter(admission, call):
    async with admission.admit(call, GROUP, CallRecord()):
        pass
