"""A process is killed with -9: within one window the others get everything that it held.

The same under load for minutes: `python -m tests.system.measure_sharing kill`, and `places`.
"""

import asyncio
import signal
from time import monotonic

import pytest

from llmproxy.batteries.shared_state.quota import SLOT_S, WINDOW_SLOTS, QuotaRequest
from llmproxy.batteries.shared_state.windows import WindowClient
from tests.support.client import CHAT, ask
from tests.support.instance import holding, instance
from tests.support.run import bounded
from tests.support.valkey import valkey
from tests.system.sharing import accounts, proxies

TPM = 1000
EVERYTHING = QuotaRequest(
    rpm=None,
    tpm=TPM,
    burst=None,
    instances=1,
    epoch="",
    reports=(),
    waiting=True,
    need_requests=0,
    need_tokens=1,
    want_requests=0,
    want_tokens=TPM,
)
SHORT_SLOTS = 15  # 3 s of dispatching
PLACES = 6


async def killed(process):
    process.kill()
    assert await process.wait() == -signal.SIGKILL


async def server_ms(client):
    seconds, microseconds = await client.time()
    return 1000 * seconds + microseconds // 1000


@bounded()
async def test_the_lease_of_a_killed_process_is_free_again_after_a_real_minute(tmp_path):
    """The window is a minute, as in production. The test passes a later time instead of waiting."""
    async with valkey(tmp_path) as server, server.client() as client:
        before_ms = await server_ms(client)
        async with holding(server, tpm=TPM, window_slots=WINDOW_SLOTS) as process:
            await killed(process)
        killed_ms = await server_ms(client)
        other = WindowClient(client, "llmproxy", "other", WINDOW_SLOTS)
        window_ms = int(WINDOW_SLOTS * SLOT_S * 1000)
        free = []
        for now_ms in (None, before_ms + 60_000, killed_ms + window_ms):
            exchange = await other.exchange([("account", EVERYTHING)], count=False, now_ms=now_ms)
            free.append(exchange.replies[0].tokens)
    assert free == [0, 0, TPM]


@pytest.mark.clock
@bounded()
async def test_the_other_processes_get_its_whole_lease_within_one_window_of_the_servers_clock(
    tmp_path,
):
    options = {"rpm": None, "tpm": TPM, "window_slots": SHORT_SLOTS}
    async with valkey(tmp_path) as server, instance(server, **options) as survivor:
        async with holding(server, tpm=TPM, window_slots=SHORT_SLOTS) as process:
            await killed(process)
        killed_at = monotonic()
        survivor.lease.note_waiting(TPM)
        await asyncio.sleep(0.5)
        assert not survivor.lease.covers(1, monotonic())
        await survivor.dispatch(TPM)
        assert monotonic() - killed_at <= SHORT_SLOTS * SLOT_S + 0.5


@pytest.mark.clock
@bounded()
async def test_the_permits_of_a_killed_process_are_given_to_waiting_calls(tmp_path):
    async with valkey(tmp_path) as server, accounts("only", lasts_s=60) as (only,):
        entry = only.entry(limits={"concurrent": PLACES})
        async with proxies(tmp_path, 2, server, entry, queue={"max_wait_s": 15}) as members:
            victim, survivor = members
            calls = [
                asyncio.create_task(ask(proxy.port, body=CHAT))
                for proxy in (victim, *[survivor] * PLACES)
            ]
            while len(only.asked_at) < 1 + PLACES // 2:
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.2)
            assert len(only.asked_at) == 1 + PLACES // 2, "each has its part"
            victim.signal(signal.SIGKILL)
            killed_at = monotonic()
            while len(only.asked_at) < 1 + PLACES:
                await asyncio.sleep(0.02)
            took_s = monotonic() - killed_at
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
    assert took_s < 6  # 3 until it counts as gone, 1 until a report, 1 until calls look
