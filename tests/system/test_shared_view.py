"""Four processes with one Valkey share limits and the state of endpoints, and a fault of the
server affects no call. `python -m tests.system.measure_sharing` measures it for longer."""

import asyncio
import signal

import pytest

from tests.support.run import bounded
from tests.support.valkey import valkey
from tests.support.waiting import until
from tests.system.sharing import (
    FAULTS,
    Load,
    accounts,
    apply_fault,
    most_within,
    overheads_ms,
    percentile,
    proxies,
    until_shared,
)

RPM = 300


@pytest.mark.clock
@bounded()
async def test_all_instances_together_send_no_more_than_the_limit(tmp_path):
    async with valkey(tmp_path) as server, accounts("only") as (only,):
        entry = only.entry(limits={"rpm": RPM})
        async with proxies(tmp_path, 4, server, entry, queue={"max_wait_s": 0.2}) as members:
            async with Load([instance.port for instance in members], 150).running() as load:
                await asyncio.sleep(6)
                # A slow machine takes longer.
                await until(lambda: len(load.outcomes) > 1.5 * RPM, within_s=40)
                await until(lambda: len(only.asked_at) >= 0.97 * RPM, within_s=10)
        statuses = load.statuses()
    assert set(statuses) == {200, 429}
    assert most_within(60, only.asked_at) <= 1.02 * RPM


@pytest.mark.clock
@bounded()
async def test_token_limits_are_shared_too(tmp_path):
    async with valkey(tmp_path) as server, accounts("only") as (only,):
        entry = only.entry(limits={"tpm": 2000})
        async with proxies(tmp_path, 2, server, entry, queue={"max_wait_s": 0.2}) as members:
            async with Load([instance.port for instance in members], 150).running() as load:
                await asyncio.sleep(5)
                await until(lambda: len(only.asked_at) >= 0.9 * 400, within_s=40)  # if it is slow
                await until(lambda: 429 in load.statuses())
    # A call is charged with its 5 tokens when its answer has reported them.
    assert set(load.statuses()) == {200, 429}
    assert most_within(60, only.asked_at) <= 1.02 * 400


@pytest.mark.clock
@bounded()
async def test_a_429_at_one_instance_stops_the_others_within_a_tenth_of_a_second(tmp_path):
    async with valkey(tmp_path) as server, accounts("first", "second") as (first, second):
        entries = first.entry(), second.entry(tier=1)
        async with proxies(tmp_path, 4, server, *entries) as members:
            async with Load([instance.port for instance in members], 100).running() as load:
                await asyncio.sleep(1)
                first.throttles, refused_from = True, len(first.asked_at)
                await asyncio.sleep(2)
        assert set(load.statuses()) == {200}
        at = first.asked_at[refused_from:]
        assert at
        assert at[-1] - at[0] < 0.1
        assert second.asked_at


@pytest.mark.clock
@bounded()
async def test_a_killed_proxy_does_not_affect_the_others(tmp_path):
    async with valkey(tmp_path) as server, accounts("only") as (only,):
        entry = only.entry(limits={"rpm": RPM})
        async with proxies(tmp_path, 4, server, entry, queue={"max_wait_s": 0.2}) as members:
            victim, *survivors = members
            async with Load([instance.port for instance in members], 100).running() as load:
                await asyncio.sleep(1.5)
                load.dead.add(victim.port)
                victim.signal(signal.SIGKILL)
                await until_shared(survivors[0], instances=3)
                await asyncio.sleep(1)
    assert set(load.statuses()) <= {200, 429}
    assert 0.97 * RPM <= len(only.asked_at) <= 1.02 * RPM


@pytest.mark.clock
@bounded(300)
async def test_a_fault_of_the_server_affects_no_call(tmp_path):
    async with valkey(tmp_path) as server, accounts("only") as (only,):
        entry = only.entry(limits={"rpm": 200_000, "tpm": 10**9})
        async with proxies(tmp_path, 2, server, entry) as members:
            async with Load([instance.port for instance in members], 200).running() as load:
                await asyncio.sleep(2)
                for happens, heals in FAULTS.values():
                    await apply_fault(server, happens)
                    await asyncio.sleep(1)
                    await apply_fault(server, heals)
                    for instance in members:
                        await until_shared(instance, connected=True)
        assert set(load.statuses()) == {200}
        # Waiting for a server would show as 10 ms, 100 ms and more.
        assert percentile(overheads_ms(members), 0.99) < 10


@pytest.mark.parametrize("what", ["hangs", "is gone"])
@bounded()
async def test_without_the_server_each_instance_keeps_to_its_part(tmp_path, what):
    happens, heals = FAULTS[what]
    async with valkey(tmp_path) as server, accounts("only") as (only,):
        entry = only.entry(limits={"rpm": 100})
        async with proxies(tmp_path, 2, server, entry, queue={"max_wait_s": 0.1}) as members:
            await apply_fault(server, happens)
            for instance in members:
                await until_shared(instance, connected=False, instances=2)
            async with Load([instance.port for instance in members], 100).running() as load:
                async with asyncio.timeout(40):  # in a minute there is room again
                    while len(only.asked_at) < 100:
                        await asyncio.sleep(0.02)
                    await asyncio.sleep(1)
            assert set(load.statuses()) == {200, 429}
            assert len(only.asked_at) == 100
            await apply_fault(server, heals)
            for instance in members:
                await until_shared(instance, connected=True)
