"""A server that shuts down: sessions end between two responses, with a notice and 1012."""

import asyncio
import json
import signal

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from tests.support.groups import group_of
from tests.support.process import running
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.waiting import until
from tests.websockets.realtime import realtime_vendor
from tests.websockets.waiting_for import finished

CREATE = '{"type": "response.create", "model": "gpt-4.1", "input": "hi"}'


def url(proxy, path="/v1/realtime?model=gpt-4.1"):
    return f"ws://127.0.0.1:{proxy.port}{path}"


async def notice_and_close(session):
    """Return the code of the notice and that of the close."""
    notice = json.loads(await session.recv())
    assert notice["type"] == "error", notice
    with pytest.raises(ConnectionClosedError):
        await session.recv()
    return notice["error"]["code"], session.close_code


@bounded()
async def test_an_idle_session_ends_at_once():
    async with realtime_vendor() as vendor, serve_proxy(group_of(vendor)) as proxy:
        async with connect(url(proxy)) as session:
            await session.recv()
            proxy.server.should_exit = True
            assert await notice_and_close(session) == ("proxy_shutting_down", 1012)
        (record,) = await finished(proxy)
        await until(lambda: vendor.closes)
    assert (record.answer.error, record.answer.close_code) == (None, 1012)
    assert vendor.closes == [(1001, "")]


@pytest.mark.parametrize("path", ["/v1/realtime?model=gpt-4.1", "/v1/responses"])
@bounded()
async def test_a_response_under_way_is_finished_first(path):
    async with realtime_vendor() as vendor:
        async with serve_proxy(group_of(vendor, drain_timeout_s=10)) as proxy:
            async with connect(url(proxy, path)) as session:
                vendor.gate.clear()
                await session.send(CREATE)
                while json.loads(await session.recv())["type"] != "response.created":
                    pass
                proxy.server.should_exit = True
                await asyncio.sleep(0.2)
                vendor.gate.set()
                kinds = [json.loads(await session.recv())["type"] for _ in range(2)]
                assert kinds[0] == "response.output_text.delta"
                assert kinds[1] in ("response.done", "response.completed")
                _, closed_with = await notice_and_close(session)
                assert closed_with == 1012
            (record,) = await finished(proxy)
    assert record.answer.usage.output_tokens == 10


@bounded()
async def test_a_session_that_is_accepted_during_the_drain_ends_at_once():
    async with realtime_vendor() as vendor:
        async with serve_proxy(group_of(vendor, timeouts={"connect_s": 20})) as proxy:
            vendor.door.clear()
            opening = asyncio.create_task(connect(url(proxy)).__aenter__())
            await until(lambda: vendor.requests)
            proxy.server.should_exit = True
            await until(lambda: proxy.app.live.draining)
            await asyncio.sleep(0.1)
            vendor.door.set()
            session = await opening
            with pytest.raises(ConnectionClosedError):
                while True:
                    await session.recv()
            assert session.close_code == 1012


@bounded()
async def test_a_response_that_takes_too_long_is_cut_with_the_same_notice():
    async with realtime_vendor() as vendor:
        async with serve_proxy(group_of(vendor, drain_timeout_s=0.3)) as proxy:
            async with connect(url(proxy)) as session:
                await session.recv()
                vendor.gate.clear()
                await session.send(CREATE)
                await session.recv()
                proxy.server.should_exit = True
                assert await notice_and_close(session) == ("proxy_shutting_down", 1012)
            (record,) = await finished(proxy)
            vendor.gate.set()
    assert record.answer.error == "proxy_shutting_down"


@bounded()
async def test_a_session_of_responses_without_a_message_yet_ends_at_once():
    async with realtime_vendor() as vendor, serve_proxy(group_of(vendor)) as proxy:
        async with connect(url(proxy, "/v1/responses")) as session:
            proxy.server.should_exit = True
            code, closed_with = await notice_and_close(session)
            # What Responses' clients, Codex for one, take for "open another connection".
            assert (code, closed_with) == ("websocket_connection_limit_reached", 1012)
        (record,) = await finished(proxy)
    assert (record.answer.error, record.answer.close_code) == (None, 1012)


@bounded()
async def test_sigterm_ends_the_process_with_a_notice_to_each_session(tmp_path):
    async with realtime_vendor() as vendor:
        async with running(tmp_path, config=group_of(vendor, timeouts={"connect_s": 20})) as proxy:
            sessions = [await connect(url(proxy)) for _ in range(3)]
            for session in sessions:
                await session.recv()
            proxy.signal(signal.SIGTERM)
            for session in sessions:
                assert await notice_and_close(session) == ("proxy_shutting_down", 1012)
            assert await proxy.ended() == 0
            lines = await proxy.logged(3)
    assert {(line["status"], line["close_code"]) for line in lines} == {(101, 1012)}
    assert not any("error" in line for line in lines)
