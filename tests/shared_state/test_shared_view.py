"""The shared view: leases are granted in a moment, and calls go on whatever the server does."""

import asyncio
import contextlib
import logging
from contextlib import asynccontextmanager
from time import monotonic

import pytest

from llmproxy.batteries.shared_state.quota import Lease
from tests.support.instance import RPM, TPM, WAIT_S, all_that_it_gets, instance
from tests.support.run import bounded
from tests.support.valkey import free_port, valkey

SLOT_S = 0.25


def connected(instance):
    return instance.connected


def lost(instance):
    return not instance.connected


async def keep_dispatching(instance, stop):
    """Calls that wait for nothing but a grant; returns how long the slowest waited."""
    slowest = 0.0
    while not stop.is_set():
        slowest = max(slowest, await instance.dispatch())
        await asyncio.sleep(0.005)
    return slowest


@pytest.mark.clock
@bounded()
async def test_a_call_that_finds_nothing_is_granted_something_in_a_moment(tmp_path):
    async with valkey(tmp_path) as server, instance(server) as only:
        assert await only.dispatch() < 0.5


@bounded()
async def test_waiting_calls_are_called_back_when_something_is_granted(tmp_path):
    async with valkey(tmp_path) as server, instance(server) as only:
        granted = asyncio.Event()
        only.view.on_grant(granted.set)
        only.lease.note_waiting(10)
        await asyncio.wait_for(granted.wait(), WAIT_S)
        assert only.lease.covers(10, monotonic())


@pytest.mark.clock
@bounded()
async def test_instances_share_one_limit(tmp_path):
    async with valkey(tmp_path) as server:
        async with instance(server, rpm=50) as one, instance(server, rpm=50) as other:
            await one.until(lambda instance: instance.instances == 2)
            dispatched = await asyncio.gather(all_that_it_gets(one), all_that_it_gets(other))
            assert 49 <= sum(dispatched) <= 51  # on credit: 2 %


@bounded()
async def test_accounts_do_not_share(tmp_path):
    async with valkey(tmp_path) as server:
        async with (
            instance(server, key="one", rpm=1) as one,
            instance(server, key="other", rpm=1) as other,
        ):
            await one.dispatch()
            await other.dispatch()


@bounded()
async def test_leases_of_many_accounts_are_all_granted(tmp_path):
    async with valkey(tmp_path) as server, instance(server) as only:
        hungry = {f"account {number}": Lease() for number in range(500)}
        for key, lease in hungry.items():
            lease.set_limits(RPM, TPM)
            only.view.add(key, lease)
        async with asyncio.timeout(WAIT_S):
            while hungry:
                for lease in hungry.values():
                    lease.note_waiting(10)
                await asyncio.sleep(0.01)
                hungry = {
                    key: lease for key, lease in hungry.items() if not lease.covers(10, monotonic())
                }


@pytest.mark.clock
@bounded()
async def test_what_a_dead_instance_was_granted_is_free_after_a_window(tmp_path):
    slots = 7  # 1 s of dispatching
    async with valkey(tmp_path) as server:
        async with instance(server, rpm=20, window_slots=slots) as survivor:
            async with instance(server, rpm=20, window_slots=slots) as dead:
                for _ in range(20):
                    await dead.dispatch()
                survivor.lease.note_waiting(10)
                await asyncio.sleep(0.1)
                assert not survivor.lease.covers(10, monotonic())
            # It left without returning anything.
            waited_s = await survivor.dispatch()
            assert waited_s <= slots * SLOT_S + 1.0


@bounded()
async def test_instances_know_of_each_other(tmp_path):
    async with valkey(tmp_path) as server, instance(server) as one:
        async with instance(server) as other:
            await one.until(lambda instance: instance.instances == 2)
            assert other.instances == 2
            one.lease.go_local()
            assert one.lease.share == 0.5
        await one.until(lambda instance: instance.instances == 1)


@pytest.mark.clock
@bounded()
async def test_a_lease_that_is_idle_asks_nothing(tmp_path):
    async with valkey(tmp_path) as server, instance(server) as only:
        await only.dispatch()
        await asyncio.sleep(1.0)
        await server.command("CONFIG", "RESETSTAT")
        await asyncio.sleep(1.5)
        stats = await server.command("INFO", "commandstats")
        assert stats["cmdstat_evalsha"]["calls"] <= 2  # that it is there, once a second


# Whatever the server does


FAULTS = ["hung", "gone", "out of memory", "read-only"]


@pytest.mark.clock
@pytest.mark.parametrize("how", FAULTS)
@bounded()
async def test_no_call_waits_for_a_server_that_is_broken(tmp_path, how):
    async with valkey(tmp_path) as server:
        async with instance(server) as one, instance(server) as other:
            await one.until(lambda instance: instance.instances == 2)
            stop = asyncio.Event()
            calls = asyncio.create_task(keep_dispatching(one, stop))
            await asyncio.sleep(0.2)
            await server.break_it(how)
            assert await one.until(lost) < 2.0
            assert one.lease.share == 0.5
            await asyncio.sleep(0.15)
            assert one.lease.share == 0.5
            await server.mend(how)
            await one.until(connected)
            await other.until(connected)
            await one.until(lambda instance: instance.lease.share is None)
            stop.set()
            assert await calls < 0.5


@asynccontextmanager
async def slowed(server, delay_s):
    """The server behind a long line; yields its URL there."""

    async def relay(reader, writer):
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(pour(reader, inner_writer, 0.0), pour(inner_reader, writer, delay_s))

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as listening:
        yield f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}/0"


async def pour(reader, writer, delay_s):
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(2**16):
            await asyncio.sleep(delay_s)
            writer.write(piece)
            await writer.drain()
    writer.close()


@pytest.mark.clock
@bounded()
async def test_no_call_waits_for_a_server_that_is_slow_and_all_of_them_are_counted(
    tmp_path, caplog
):
    async with valkey(tmp_path) as server, slowed(server, 0.04) as url:
        async with instance(url) as slow:
            dispatched, slowest, whys = 100, 0.0, set()
            for _ in range(dispatched):
                slowest = max(slowest, await slow.dispatch())
                whys.add(slow.why)
                await asyncio.sleep(0.005)
            assert slowest < 0.2
            assert "no answer within 10 ms" in whys
            async with server.client() as client:
                while await client.hget("{llmproxy}:window:account", "r") != b"100":
                    await asyncio.sleep(0.02)
    assert not caplog.records


@pytest.mark.clock
@bounded()
async def test_what_was_dispatched_during_an_outage_is_reported_after_it(tmp_path):
    async with valkey(tmp_path) as server:
        async with instance(server, rpm=100) as one, instance(server, rpm=100) as other:
            await one.dispatch()
            server.hang()
            one.lease.note_waiting(10)
            await one.until(lost)
            for _ in range(99):
                one.lease.reserve(10, monotonic())
            server.go_on()
            await one.until(connected)
            await other.until(connected)
            await asyncio.sleep(0.1)
            other.lease.note_waiting(10)
            await asyncio.sleep(0.3)
            assert not other.lease.covers(10, monotonic())


@bounded()
async def test_a_server_that_came_back_empty_learns_what_was_dispatched(tmp_path):
    async with valkey(tmp_path) as server:
        async with instance(server, rpm=100) as one, instance(server, rpm=100) as other:
            for _ in range(60):
                await one.dispatch()
            await server.restart_empty()
            # The first instance is idle, and reports all the same.
            async with server.client() as client:
                while await client.hget("{llmproxy}:window:account", "r") != b"60":
                    await asyncio.sleep(0.02)
            await other.until(connected)


@bounded()
async def test_how_many_share_is_remembered_when_the_server_forgets(tmp_path):
    async with valkey(tmp_path) as server:
        async with instance(server) as one:
            async with instance(server):
                await one.until(lambda instance: instance.instances == 2)
                await server.kill()
                await one.until(lost)
            assert one.lease.share == 0.5
            await server.start()
            await one.until(connected)
            assert one.instances == 2
            await one.until(lambda instance: instance.instances == 1, within_s=10)


@pytest.mark.clock
@bounded()
async def test_a_server_that_does_not_answer_at_the_start_holds_up_nothing(tmp_path):
    began = monotonic()
    async with instance(f"redis://127.0.0.1:{free_port()}/0") as only:
        assert monotonic() - began < 2.0
        assert not only.connected
        assert only.lease.share == 1.0
    async with valkey(tmp_path) as server:
        server.hang()
        began = monotonic()
        async with instance(server) as only:
            assert monotonic() - began < 2.0
            assert not only.connected
            server.go_on()
            await only.until(connected)


@bounded()
async def test_a_server_that_stays_away_is_probed_rarely():
    attempts = 0

    def refuse(reader, writer):
        nonlocal attempts
        attempts += 1
        writer.close()

    listening = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening, instance(f"redis://127.0.0.1:{port}/0"):
        await asyncio.sleep(1.5)
        attempts = 0
        await asyncio.sleep(2.2)
        # The windows every two seconds, the news every half.
        assert attempts <= 12


@bounded()
async def test_an_outage_and_its_end_are_logged_once(tmp_path, caplog):
    caplog.set_level(logging.WARNING, logger="llmproxy")
    async with valkey(tmp_path) as server, instance(server) as only:
        await server.kill()
        await only.until(lost)
        await asyncio.sleep(0.15)
        await server.start()
        await only.until(connected)
        messages = [record.getMessage() for record in caplog.records]
        assert len(messages) == 2
        assert messages[0].startswith("The shared view is lost: ")
        assert messages[1].startswith("The shared view is back after ")


@bounded()
async def test_a_password_is_used_and_never_shown(tmp_path, caplog):
    async with valkey(tmp_path, "--requirepass", "open-sesame") as server:
        right = f"redis://:open-sesame@127.0.0.1:{server.port}/0"
        async with instance(right) as only:
            await only.dispatch()
        wrong = f"redis://:shut-sesame@127.0.0.1:{server.port}/0"
        async with instance(wrong) as only:
            await asyncio.sleep(0.3)
            assert not only.connected
            assert "WRONGPASS" in only.why or "password" in only.why
    shown = "".join(record.getMessage() for record in caplog.records) + only.why
    assert "shut-sesame" not in shown
    assert "open-sesame" not in shown
