"""Many sessions at once, in a process of its own: what each costs, and what becomes of them."""

import asyncio
import contextlib

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.groups import group_of
from tests.support.process import LLMPROXY, running
from tests.support.run import bounded
from tests.support.waiting import until
from tests.websockets.frames import echoing
from tests.websockets.realtime import echo, realtime_vendor

SESSIONS = 120
PATIENT = {"timeouts": {"connect_s": 20}}  # no other limits
MAX_KIB = 90  # bench/sessions.py prints what a session takes; here much is made once


async def opened(stack, proxy, count):
    """Open sessions, 20 at a time; each is closed with the stack."""
    gate = asyncio.Semaphore(20)

    async def one():
        async with gate:
            url = f"ws://127.0.0.1:{proxy.port}/v1/realtime?model=gpt-4.1"
            session = await connect(url, ping_interval=None, compression=None)
            stack.push_async_callback(session.close)
            return session

    return await asyncio.gather(*(one() for _ in range(count)))


@pytest.mark.slow
@bounded()
async def test_each_of_many_sessions_takes_little_memory_and_works(tmp_path):
    async with echoing() as vendor:
        options = {"config": group_of(vendor, **PATIENT), "program": [LLMPROXY]}
        async with running(tmp_path, **options) as proxy:
            async with contextlib.AsyncExitStack() as stack:
                await opened(stack, proxy, 20)
                before = await proxy.settled_kib()
                sessions = await opened(stack, proxy, SESSIONS)
                each = (proxy.resident_kib() - before) / SESSIONS
                texts = [f"session {number}" for number in range(SESSIONS)]
                for session, text in zip(sessions, texts, strict=True):
                    await session.send(text)
                assert [await session.recv() for session in sessions] == texts
            await proxy.logged(SESSIONS + 20)
            assert {call["close_code"] for call in proxy.calls} == {1000}
    assert each < MAX_KIB


@bounded()
async def test_when_one_of_two_endpoints_dies_only_its_sessions_end(tmp_path):
    async with realtime_vendor(talk=echo) as one, realtime_vendor(talk=echo) as other:
        async with running(tmp_path, config=group_of(one, other, **PATIENT)) as proxy:
            async with contextlib.AsyncExitStack() as stack:
                sessions = await opened(stack, proxy, 40)
                await until(lambda: len(one.sessions) == len(other.sessions) == 20)
                one.kill()
                one.refusal = (503, {})
                ended = 0
                for session in sessions:
                    try:
                        await session.send("are you there?")
                        while await session.recv() != "are you there?":
                            pass
                    except ConnectionClosed:
                        ended += session.close_code == 1011
                assert ended == 20
                more = await opened(stack, proxy, 10)  # the other endpoint serves all of these
                for session in more:
                    await session.send("hello")
                    assert await session.recv() == "hello"
            assert len(other.requests) == 30
