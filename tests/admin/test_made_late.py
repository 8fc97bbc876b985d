"""The admin application is made at its first request, in a thread, and its requests wait for it."""

import asyncio
import gc
import logging
import threading

import pytest

from llmproxy.batteries.admin.made_late import made_late
from tests.support.run import bounded


@bounded()
async def test_requests_wait_until_a_thread_has_made_the_application():
    may_finish, served = threading.Event(), []

    def make():
        assert may_finish.wait(10)
        threads.append(threading.current_thread())

        async def application(scope, receive, send):
            served.append(scope)

        return application

    threads = []
    async with made_late(make) as application:
        request = asyncio.create_task(application("scope", None, None))
        await asyncio.sleep(0.05)
        assert not request.done()
        may_finish.set()
        await request
        await application("another", None, None)
    assert served == ["scope", "another"]
    assert threads[0] is not threading.main_thread()
    assert len(threads) == 1


@bounded()
async def test_a_client_that_leaves_does_not_stop_the_making():
    may_finish, served = threading.Event(), []

    def make():
        assert may_finish.wait(10)

        async def application(scope, receive, send):
            served.append(scope)

        return application

    async with made_late(make) as application:
        request = asyncio.create_task(application("left", None, None))
        await asyncio.sleep(0.01)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        may_finish.set()
        await application("stayed", None, None)
    assert served == ["stayed"]


@bounded()
async def test_if_it_cannot_be_made_it_is_said_once_and_each_request_fails(caplog):
    def make():
        raise ImportError("broken installation")

    async with made_late(make) as application:
        for _ in range(2):
            with pytest.raises(ImportError, match="broken installation"):
                await application("scope", None, None)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "admin application cannot be made" in caplog.text
    assert "broken installation" in caplog.text


@pytest.mark.parametrize("of_a_start", [True, False])
@bounded()
async def test_the_collector_does_not_visit_it_if_it_does_not_visit_what_a_start_made(of_a_start):
    async def application(scope, receive, send):
        pass

    try:
        if of_a_start:
            gc.freeze()
        before = gc.get_freeze_count()
        async with made_late(lambda: application) as admin:
            more = [[number] for number in range(1_000)]
            await admin("scope", None, None)
        assert (gc.get_freeze_count() >= before + len(more)) == of_a_start
    finally:
        gc.unfreeze()


@bounded()
async def test_a_process_that_nobody_asks_makes_nothing():
    async with made_late(pytest.fail):
        await asyncio.sleep(0.05)


@bounded()
async def test_a_process_that_ends_meanwhile_waits_for_no_application():
    may_finish = threading.Event()
    async with made_late(may_finish.wait) as application:
        request = asyncio.create_task(application("scope", None, None))
        await asyncio.sleep(0.01)
    may_finish.set()
    with pytest.raises(asyncio.CancelledError):
        await request
