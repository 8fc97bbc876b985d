"""The process: how it starts and stops, and what happens to calls under way."""

import asyncio
import resource
import signal
import sys

import pytest

from tests.support.client import CHAT, STREAM, ask, connect, request
from tests.support.process import LLMPROXY, command, running
from tests.support.run import bounded
from tests.support.vendor import (
    DONE,
    LAST_CHUNK,
    always,
    chat,
    chunk,
    delta,
    http,
    scripted,
    sse_head,
)
from tests.system.vendors import group_of

SLOW_STREAM = [sse_head(), chunk(delta("one")), 0.7, chunk(delta("two")), chunk(DONE), LAST_CHUNK]
ENDLESS_STREAM = [sse_head(), chunk(delta("one")), "hang"]


def config_for(vendor, **settings):
    settings = {"drain_delay_s": 0.4, "log_format": "json"} | settings
    return {"model_groups": [group_of([vendor], weights=[1])], "general_settings": settings}


def answer(received, _number):
    """Answer every call slowly."""
    return SLOW_STREAM if b'"stream": true' in received.body else [0.7, http(chat("slow"))]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
@bounded()
async def test_calls_under_way_are_completed_before_the_process_ends(tmp_path, number):
    async with scripted(answer) as vendor:
        async with running(tmp_path, config=config_for(vendor)) as proxy:
            calls = [asyncio.create_task(ask(proxy.port, body=body)) for body in (CHAT, STREAM)]
            while len(vendor.received) < 2:
                await asyncio.sleep(0.01)
            proxy.signal(number)
            unary, stream = await asyncio.gather(*calls)
            status = await proxy.ended()
            lines = proxy.calls

    assert (unary.status, unary.json) == (200, chat("slow"))
    assert (stream.status, stream.body) == (200, delta("one") + delta("two") + DONE)
    assert status == 0
    assert [line["status"] for line in lines] == [200, 200], "the last lines must not be lost"
    assert "Traceback" not in proxy.stderr


@bounded()
async def test_after_sigterm_readiness_fails_first_while_new_calls_are_still_served(tmp_path):
    async with scripted(always(http(chat("late")))) as vendor:
        async with running(tmp_path, config=config_for(vendor)) as proxy:
            assert (await ask(proxy.port, "/readyz", method="GET")).status == 200
            kept = await connect(proxy.port)
            proxy.signal(signal.SIGTERM)
            while (await ask(proxy.port, "/readyz", method="GET")).status == 200:
                await asyncio.sleep(0.02)
            assert (await ask(proxy.port, "/livez", method="GET")).status == 200
            assert (await ask(proxy.port, body=CHAT)).status == 200
            await kept.send(request(body=CHAT))
            assert (await kept.reply()).status == 200
            assert await proxy.ended() == 0
            assert await kept.at_end(), "an idle connection is closed, not reset"
            with pytest.raises(ConnectionRefusedError):
                await connect(proxy.port)


@bounded()
async def test_a_stream_that_outlasts_the_drain_ends_with_an_error_event(tmp_path):
    async with scripted(always(*ENDLESS_STREAM)) as vendor:
        config = config_for(vendor, drain_delay_s=0, drain_timeout_s=0.5)
        async with running(tmp_path, config=config) as proxy:
            client = await connect(proxy.port)
            await client.send(request(body=STREAM))
            await client.head()
            assert await client.chunk() == delta("one")
            proxy.signal(signal.SIGTERM)
            last_event = await client.chunk()
            assert await proxy.ended() == 0
            await asyncio.sleep(0.05)

    assert last_event.startswith(b'data: {"error":')
    assert b"shutting down" in last_event
    assert vendor.received[0].gone_at is not None, "the upstream must not go on generating"


@bounded()
async def test_a_client_that_does_not_read_cannot_keep_the_process_alive(tmp_path):
    piece = chunk(delta("z" * 16_000))

    def endless(received, _number):
        yield sse_head()
        while True:
            yield piece

    async with scripted(endless) as vendor:
        config = config_for(vendor, drain_delay_s=0, drain_timeout_s=0.5)
        async with running(tmp_path, config=config) as proxy:
            client = await connect(proxy.port)
            client.writer.transport.pause_reading()
            await client.send(request(body=STREAM))
            await asyncio.sleep(0.5)
            proxy.signal(signal.SIGTERM)
            assert await proxy.ended() == 0

    assert "Traceback" not in proxy.stderr


@bounded()
async def test_a_second_ctrl_c_does_not_wait_for_calls(tmp_path):
    async with scripted(always("hang")) as vendor:
        async with running(tmp_path, config=config_for(vendor)) as proxy:
            call = asyncio.create_task(ask(proxy.port, body=CHAT))
            while not vendor.received:
                await asyncio.sleep(0.01)
            proxy.signal(signal.SIGINT)
            await asyncio.sleep(0.3)
            assert proxy.process.returncode is None
            proxy.signal(signal.SIGINT)
            await proxy.ended()  # the drain would take ten minutes
            await asyncio.gather(call, return_exceptions=True)

    assert "Traceback" not in proxy.stderr


@bounded()
async def test_a_port_in_use_is_reported_and_the_proxy_that_has_it_is_unaffected(tmp_path):
    async with scripted(always(http(chat("first")))) as vendor:
        async with running(tmp_path, config=config_for(vendor)) as first:
            port = str(first.port)
            second = await command("serve", "--config", "config.yaml", "--port", port, cwd=tmp_path)
            reply = await ask(first.port, body=CHAT)

    assert second.status == 1
    assert f"Cannot listen on 127.0.0.1:{port}: address already in use." in second.stderr
    assert "--port" in second.stderr
    assert "Traceback" not in second.stderr
    assert reply.status == 200


@bounded()
async def test_two_instances_of_one_config_serve_side_by_side(tmp_path):
    async with scripted(always(http(chat("same")))) as vendor:
        config = config_for(vendor)
        async with running(tmp_path / "a", config=config) as one:
            async with running(tmp_path / "b", config=config) as other:
                replies = [await ask(proxy.port, body=CHAT) for proxy in (one, other)]
                lines = [await proxy.logged(1) for proxy in (one, other)]

    assert [reply.status for reply in replies] == [200, 200]
    assert [len(of_one) for of_one in lines] == [1, 1]


@bounded()
async def test_the_first_answer_comes_soon_after_the_start(tmp_path):
    """A second, where a bare Python takes 0.09 s of the processor; a slow machine slows both."""
    before_s = used_by_children_s()
    await command("-c", "import asyncio, ssl", program=sys.executable)
    bare_s = used_by_children_s() - before_s
    async with scripted(always(http(chat("quick")))) as vendor:
        config, program = config_for(vendor), [LLMPROXY]
        async with running(tmp_path, config=config, program=program) as proxy:
            assert (await ask(proxy.port, body=CHAT)).status == 200
            assert proxy.used_s() < 22 * bare_s


def used_by_children_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
