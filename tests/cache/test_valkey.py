"""The store in a real Valkey: batched reads, and no call waits for a failing server."""

import asyncio
import contextlib
import logging
import os
from contextlib import asynccontextmanager
from time import monotonic, time

import pytest

from llmproxy.batteries.cache.cached_answer import CachedAnswer, pack
from llmproxy.batteries.cache.stores.l2 import open_l2
from llmproxy.batteries.cache.stores.valkey import ValkeyStore
from llmproxy.batteries.settings import FullSettings
from llmproxy.batteries.shared_state.address import client_of, secrets_of
from tests.support.line import line_to
from tests.support.run import bounded
from tests.support.valkey import free_port, valkey

TIMEOUT_S = 0.1
BUSY_S = 0.1  # added by a loaded machine


@asynccontextmanager
async def opened(url, *, keep_s=60.0, timeout_s=TIMEOUT_S):
    settings = FullSettings(redis_url=url)
    client = client_of(settings)
    store = ValkeyStore(client, namespace="here", keep_s=keep_s, secrets=secrets_of(settings))
    try:
        async with open_l2(store, timeout_s=timeout_s) as level:
            yield level
    finally:
        await client.aclose()


def entry(body=b"answer", group="g"):
    return CachedAnswer(group, b"application/json", body, time())


def key(number):
    return number.to_bytes(32, "big")


def name(number):
    return f"here:answer:g:{key(number).hex()}"


async def until(condition, within_s=8.0):
    began = monotonic()
    while not await condition():
        assert monotonic() - began < within_s, "the condition did not come true in time"
        await asyncio.sleep(0.01)


async def stays(level, number):
    """Put an answer until it is found; returns it."""
    kept = entry(b"%d" % number)

    async def found():
        level.put_later(key(number), kept)
        await asyncio.sleep(0.05)
        return await level.get("g", key(number)) == kept

    await until(found)
    return kept


async def calls(server, command):
    logged = (await server.command("INFO", "commandstats")).get(f"cmdstat_{command}")
    return logged["calls"] if logged else 0


@bounded()
async def test_an_instance_finds_the_answers_of_another(tmp_path):
    async with valkey(tmp_path) as server:
        async with opened(server.url) as one, opened(server.url) as other:
            kept = await stays(one, 1)
            assert await other.get("g", key(1)) == kept
            assert await other.get("h", key(1)) is None
        left_ms = await server.command("PTTL", name(1))
        assert 50_000 < left_ms <= 60_000


@bounded()
async def test_the_gets_of_one_loop_turn_are_one_command(tmp_path):
    async with valkey(tmp_path) as server, opened(server.url) as level:
        kept = await stays(level, 1)
        await server.command("CONFIG", "RESETSTAT")
        found = await asyncio.gather(*(level.get("g", key(number)) for number in range(200)))
        assert found[1] == kept
        assert found.count(None) == 199
        assert await calls(server, "mget") == 1
        for _ in range(50):
            await asyncio.gather(*(level.get("g", key(number)) for number in range(20)))
        assert await calls(server, "mget") == 51


@bounded()
async def test_gets_in_many_loop_turns_open_few_connections(tmp_path):
    async with valkey(tmp_path) as server, opened(server.url, timeout_s=10) as level:
        kept = await stays(level, 1)
        waiting = []
        for _ in range(1000):
            waiting.append(level.get("g", key(1)))
            await asyncio.sleep(0)
        assert await asyncio.gather(*waiting) == [kept] * 1000
        clients = (await server.command("CLIENT", "LIST")).splitlines()
        assert len([line for line in clients if b"name=llmproxy" in line]) <= 5


@bounded()
async def test_puts_are_written_together(tmp_path):
    async with valkey(tmp_path) as server:
        async with opened(server.url) as level:
            for number in range(100):
                level.put_later(key(number), entry())
        assert await calls(server, "set") == 100
        assert await server.command("DBSIZE") == 100


@bounded()
async def test_a_changed_value_is_not_an_answer(tmp_path):
    async with valkey(tmp_path) as server, opened(server.url) as level:
        await stays(level, 1)
        good = await server.command("GET", name(1))
        values = [
            good[:-1],
            good[:-1] + bytes([good[-1] ^ 1]),
            b"",
            b"foreign",
            pack(key(9), entry()),
        ]
        for value in values:
            await server.command("SET", name(2), value)
            assert await level.get("g", key(2)) is None
        assert level.counters.damaged == len(values)
        await server.command("DEL", name(2))
        await server.command("LPUSH", name(2), "no string at all")
        assert await level.get("g", key(2)) is None
        assert await level.get("g", key(1)) is not None
        assert level.counters.failures == 0
        assert await level.purge(None, time() + 1.0) == 1
        assert await level.purge(None, None) == 1


@bounded()
async def test_a_purge_leaves_other_keys_alone(tmp_path):
    async with valkey(tmp_path) as server, opened(server.url) as level:
        await stays(level, 1)
        others = ["here:window:g", "here:answers", "there:answer:g:00", "xhere:answer:g:00"]
        for other in others:
            await server.command("SET", other, "x")
        assert await level.purge(None, None) == 1
        assert await server.command("DBSIZE") == len(others)


# Failures of the server


FAULTS = ["hung", "gone", "out of memory", "read-only", "locked"]


@pytest.mark.clock
@pytest.mark.parametrize("how", FAULTS)
@bounded()
async def test_no_get_waits_for_a_broken_server_and_none_fails(tmp_path, how, caplog):
    caplog.set_level(logging.WARNING, logger="llmproxy")
    async with valkey(tmp_path) as server, opened(server.url) as level:
        kept = await stays(level, 1)
        slowest = 0.0

        async def call(number):
            nonlocal slowest
            level.put_later(key(number), entry())
            began = monotonic()
            found = await level.get("g", key(1))
            slowest = max(slowest, monotonic() - began)
            assert found in (None, kept)
            assert await level.get("g", os.urandom(32)) is None

        async def lost():
            await asyncio.gather(*(call(number) for number in range(100, 120)))
            return not level.connected

        await server.break_it(how)
        await until(lost)
        for _ in range(20):
            await lost()
        await server.mend(how)

        async def back():
            await lost()
            return level.connected

        await until(back)
        await stays(level, 2)
        assert slowest < TIMEOUT_S + BUSY_S
    messages = [record.getMessage() for record in caplog.records]
    assert [" is lost: " in message for message in messages] == [True, False], messages


@pytest.mark.parametrize("how", ["out of memory", "read-only"])
@bounded()
async def test_a_server_that_refuses_writes_is_still_read(tmp_path, how):
    async with valkey(tmp_path) as server, opened(server.url) as level:
        kept = await stays(level, 1)
        await server.break_it(how)

        async def lost():
            level.put_later(key(2), entry())
            await asyncio.sleep(0.02)
            return not level.connected

        await until(lost)
        assert level.why.startswith("nothing can be written: ")
        assert await level.get("g", key(1)) == kept


@bounded()
async def test_a_server_that_comes_back_empty_is_filled_again(tmp_path):
    async with valkey(tmp_path) as server, opened(server.url) as level:
        await stays(level, 1)
        await server.restart_empty()
        assert await level.get("g", key(1)) is None
        await stays(level, 1)


@pytest.mark.clock
@bounded()
async def test_a_server_that_hung_is_back_with_its_first_probe(tmp_path):
    # However many connections were open to it.
    async with valkey(tmp_path) as server, opened(server.url) as level:
        await stays(level, 1)
        waiting = [level.get("g", key(number)) for number in range(4)]
        for number in range(4, 40):
            waiting.append(level.get("g", key(number)))
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        server.hang()
        while level.connected:
            await level.get("g", key(1))
        server.go_on()
        began = monotonic()

        async def back():
            return level.connected

        await until(back)
        assert monotonic() - began < 2.5


@bounded()
async def test_a_server_that_vanished_silently_costs_a_few_gets(tmp_path):
    async with valkey(tmp_path) as old, valkey(tmp_path) as new:
        async with line_to(new) as line, opened(line.url) as level:
            kept = await stays(level, 1)
        # Only what is lost takes so long, also on a busy machine.
        async with line_to(old) as line, opened(line.url, timeout_s=1.0) as level:
            await stays(level, 2)
            await asyncio.gather(*(level.totals() for _ in range(8)))
            assert len(line.tasks) >= 8  # connections, all of them idle
            line.dead.add(old.port)
            line.port = new.port
            while await level.get("g", key(1)) != kept:
                assert level.connected
            failures = level.counters.failures
            assert 1 <= failures < 5
            waiting = []
            for _ in range(200):
                waiting.append(level.get("g", key(1)))
                await asyncio.sleep(0)
            assert await asyncio.gather(*waiting) == [kept] * 200
            assert level.counters.failures == failures


@bounded()
async def test_a_changed_address_is_followed_to_the_new_server(tmp_path):
    async with valkey(tmp_path) as old, valkey(tmp_path) as new:
        async with line_to(old) as line, opened(line.url) as level:
            await stays(level, 1)
            await old.become_read_only()
            line.port = new.port
            await stays(level, 2)
            assert level.connected
            assert await new.command("EXISTS", name(2)) == 1


async def repeat_the_password(reader, writer):
    with contextlib.suppress(ConnectionError):
        while words := await reader.read(2**16):
            said = b" ".join(words.split())
            writer.write(b"-ERR what do you mean by " + said + b"?\r\n")
    writer.close()


@bounded()
async def test_a_password_in_the_servers_error_is_not_logged(caplog):
    listening = await asyncio.start_server(repeat_the_password, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening, opened(f"redis://:shut-sesame@127.0.0.1:{port}/0") as level:
        assert "what do you mean by" in level.why
        assert "***" in level.why
        logged = "".join(record.getMessage() for record in caplog.records) + level.why
        assert "sesame" not in logged


@bounded()
async def test_no_password_is_logged(caplog):
    async with opened(f"redis://me:shut-sesame@127.0.0.1:{free_port()}/0") as level:
        assert await level.get("g", key(1)) is None
        assert not level.connected
        logged = "".join(record.getMessage() for record in caplog.records) + level.why
    assert "is lost" in logged
    assert "sesame" not in logged


@bounded()
async def test_a_wrong_password_is_named_as_the_reason(tmp_path, caplog):
    async with valkey(tmp_path, "--requirepass", "open-sesame") as server:
        async with opened(f"redis://:open-sesame@127.0.0.1:{server.port}/0") as level:
            await stays(level, 1)
        async with opened(f"redis://:shut-sesame@127.0.0.1:{server.port}/0") as level:
            assert "WRONGPASS" in level.why or "password" in level.why
    assert "sesame" not in "".join(record.getMessage() for record in caplog.records)
