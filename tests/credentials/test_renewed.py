"""A token is fetched off the event loop, once for all calls, ahead of its end."""

import asyncio
import threading

import pytest

from llmproxy.batteries.credentials.renewed import Lasting, Renewed
from llmproxy.errors import CredentialRejected
from tests.support.run import bounded


class Source:
    """Gives numbered values that last an hour and are renewed 300 s before that; or fails."""

    def __init__(self):
        self.now = 1000.0
        self.count = 0
        self.failing = None
        self.threads = set()
        self.go_on = threading.Event()
        self.go_on.set()

    def fetch(self):
        self.threads.add(threading.current_thread())
        self.go_on.wait(5)
        self.count += 1
        if self.failing:
            raise self.failing
        return Lasting(f"value-{self.count}", self.now + 3300, self.now + 3600)

    def renewed(self):
        return Renewed("Entra token", self.fetch, lambda: self.now)


async def settled(source, count):
    while source.count < count:
        await asyncio.sleep(0.002)
    await asyncio.sleep(0.01)


@bounded()
async def test_many_calls_share_one_fetch_in_another_thread():
    source = Source()
    value = source.renewed()
    got = await asyncio.gather(*(value.get() for _ in range(20)))
    assert set(got) == {"value-1"}
    assert source.count == 1
    assert threading.current_thread() not in source.threads


@bounded()
async def test_no_call_waits_while_the_old_value_is_valid():
    source = Source()
    value = source.renewed()
    await value.get()
    source.now += 3301
    source.go_on.clear()  # the next fetch hangs
    assert [await value.get() for _ in range(5)] == ["value-1"] * 5
    source.go_on.set()
    await settled(source, 2)
    assert await value.get() == "value-2"
    assert source.count == 2


@bounded()
async def test_a_failed_renewal_is_tried_again_after_a_pause():
    source = Source()
    value = source.renewed()
    await value.get()
    source.now += 3301
    source.failing = RuntimeError("IMDS is unreachable")
    assert await value.get() == "value-1"
    await settled(source, 2)
    assert await value.get() == "value-1"
    assert source.count == 2
    source.now += 6
    source.failing = None
    assert await value.get() == "value-1"
    await settled(source, 3)
    assert await value.get() == "value-3"


@bounded()
async def test_without_a_valid_value_the_call_learns_why():
    source = Source()
    value = source.renewed()
    source.failing = RuntimeError("IMDS is unreachable\nand more")
    with pytest.raises(
        CredentialRejected, match=r"^no Entra token: IMDS is unreachable$"
    ) as caught:
        await value.get()
    assert not caught.value.sent
    source.failing = None
    assert await value.get() == "value-2"
    source.now += 3601
    source.failing = RuntimeError("")
    with pytest.raises(CredentialRejected, match="no Entra token: RuntimeError"):
        await value.get()


@bounded()
async def test_calls_that_share_a_failure_get_errors_of_their_own():
    source = Source()
    value = source.renewed()
    source.failing = RuntimeError("down")
    source.go_on.clear()
    calls = [asyncio.ensure_future(value.get()) for _ in range(2)]
    await asyncio.sleep(0.01)
    source.go_on.set()
    first, second = await asyncio.gather(*calls, return_exceptions=True)
    assert first is not second
    assert source.count == 1


@bounded()
async def test_a_call_that_leaves_does_not_end_the_fetch_for_the_others():
    source = Source()
    value = source.renewed()
    source.go_on.clear()
    leaving, staying = (asyncio.ensure_future(value.get()) for _ in range(2))
    await asyncio.sleep(0.01)
    leaving.cancel()
    await asyncio.sleep(0.01)
    source.go_on.set()
    assert await staying == "value-1"
    assert source.count == 1


def test_a_fetch_that_outlives_its_loop_harms_nothing():
    source = Source()
    value = source.renewed()
    source.go_on.clear()

    async def leave():
        leaving = asyncio.ensure_future(value.get())
        await asyncio.sleep(0.01)
        assert not leaving.done()

    async def get():
        return await value.get()

    asyncio.run(leave())
    source.go_on.set()
    for thread in source.threads:
        thread.join(5)
    assert asyncio.run(get()) == "value-2"
