"""The admin application is made after the start, in a thread, and its requests wait for it."""

import asyncio
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
    async with made_late(make, after_s=0) as application:
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

    async with made_late(make, after_s=0) as application:
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

    async with made_late(make, after_s=0) as application:
        for _ in range(2):
            with pytest.raises(ImportError, match="broken installation"):
                await application("scope", None, None)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "admin application cannot be made" in caplog.text
    assert "broken installation" in caplog.text


@bounded()
async def test_a_process_that_ends_before_it_was_due_makes_nothing():
    async with made_late(pytest.fail, after_s=60) as application:
        request = asyncio.create_task(application("scope", None, None))
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await request
