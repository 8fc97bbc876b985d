"""window.lua, on a real server, does what its slow and obvious Python twin does."""

from random import Random

import pytest

from llmproxy.batteries.shared_state.quota import BurstLimit, QuotaRequest, UsageReport
from llmproxy.batteries.shared_state.windows import WindowClient
from tests.support.run import bounded
from tests.support.shared_window import SharedWindow
from tests.support.valkey import valkey

WINDOW_SLOTS = 243

START_MS = 1_800_000_000_000


def an_ask(**changes):
    usual = {
        "rpm": 100,
        "tpm": 10_000,
        "burst": None,
        "instances": 1,
        "epoch": "",
        "reports": (),
        "waiting": False,
        "need_requests": 1,
        "need_tokens": 10,
        "want_requests": 1,
        "want_tokens": 10,
    }
    return QuotaRequest(**(usual | changes))


def random_ask(random, epoch, *, slots, burst):
    waiting = random.random() < 0.3
    wants = random.random() < 0.8
    want_requests, want_tokens = random.randint(1, 20), random.randint(1, 2000)
    return an_ask(
        rpm=None if random.random() < 0.05 else 100,
        tpm=None if random.random() < 0.05 else 10_000,
        burst=burst,
        instances=random.choice([1, 1, 4]),
        epoch=random.choice([epoch, "", "another's"] if random.random() < 0.1 else [epoch]),
        reports=tuple(
            UsageReport(
                random.randrange(slots + 3), random.randint(-3, 5), random.randint(-300, 500)
            )
            for _ in range(random.choice([0, 0, 1, 3]))
        ),
        waiting=waiting,
        need_requests=random.randint(0, want_requests) if wants else 0,
        need_tokens=random.randint(0, want_tokens) if wants else 0,
        want_requests=want_requests if wants else 0,
        want_tokens=want_tokens if wants else 0,
    )


@pytest.mark.parametrize("burst", [None, BurstLimit(30, 5)], ids=["minute", "burst"])
@pytest.mark.parametrize("slots", [8, WINDOW_SLOTS])
@bounded()
async def test_the_script_replies_like_its_python_twin(tmp_path, slots, burst):
    random = Random(slots)
    twin, epoch, now_ms = SharedWindow(slots), "", START_MS
    async with valkey(tmp_path) as server, server.client() as client:
        instances = {name: WindowClient(client, "test", name, slots) for name in ("a", "b", "c")}
        for _ in range(1500):
            now_ms += random.choice([0, 1, 20, 100, 300, 1000, -200])
            if random.random() < 0.003:
                now_ms += slots * 250
            who = random.choice(list(instances))
            ask = random_ask(random, epoch, slots=slots, burst=burst)
            answers = await instances[who].exchange([("k", ask)], count=False, now_ms=now_ms)
            expected = twin.answer(who, ask, now_ms)
            assert answers.replies == [expected]
            epoch = expected.epoch


@bounded()
async def test_one_round_trip_asks_for_many_windows(tmp_path):
    async with valkey(tmp_path) as server, server.client() as client:
        windows = WindowClient(client, "test", "a", WINDOW_SLOTS)
        asks = [(f"k{n}", an_ask(rpm=n, need_requests=0, want_requests=20)) for n in range(12)]
        before = (await client.info("stats"))["total_commands_processed"]
        answers = await windows.exchange(asks, count=True)
        assert [grant.requests for grant in answers.replies] == list(range(12))
        again = await windows.exchange(asks, count=False)
        assert [grant.requests for grant in again.replies] == [0] * 12
        statistics = await client.info("commandstats")
        assert statistics["cmdstat_evalsha"]["calls"] + statistics["cmdstat_eval"]["calls"] == 3
        assert before > 0


@bounded()
async def test_instances_are_counted_while_they_are_alive(tmp_path):
    async with valkey(tmp_path) as server, server.client() as client:
        first, second = (WindowClient(client, "test", name, WINDOW_SLOTS) for name in ("a", "b"))
        assert (await first.exchange([], count=True, now_ms=START_MS)).instances == 1
        assert (await second.exchange([], count=True, now_ms=START_MS + 500)).instances == 2
        assert (await first.exchange([], count=False, now_ms=START_MS + 600)).instances is None
        assert (await second.exchange([], count=True, now_ms=START_MS + 3001)).instances == 1


@bounded()
async def test_an_instance_that_leaves_is_not_counted(tmp_path):
    async with valkey(tmp_path) as server, server.client() as client:
        first, second = (WindowClient(client, "test", name, WINDOW_SLOTS) for name in ("a", "b"))
        await first.exchange([], count=True)
        await second.exchange([], count=True)
        await first.leave()
        assert (await second.exchange([], count=True)).instances == 1


@bounded()
async def test_namespaces_do_not_meet(tmp_path):
    async with valkey(tmp_path) as server, server.client() as client:
        one, other = (WindowClient(client, name, "a", WINDOW_SLOTS) for name in ("one", "other"))
        everything = an_ask(want_requests=100, want_tokens=10_000)
        for windows in (one, other):
            (grant,) = (await windows.exchange([("k", everything)], count=True)).replies
            assert (grant.requests, grant.tokens) == (100, 10_000)


@bounded()
async def test_the_clock_of_the_server_counts_by_default(tmp_path):
    async with valkey(tmp_path) as server, server.client() as client:
        windows = WindowClient(client, "test", "a", window_slots=2)
        everything = an_ask(want_requests=100, want_tokens=10_000)
        (granted,) = (await windows.exchange([("k", everything)], count=False)).replies
        (refused,) = (await windows.exchange([("k", an_ask())], count=False)).replies
        assert (granted.requests, refused.requests) == (100, 0)
        assert 0.0 < refused.wait_s <= 0.5


@bounded()
async def test_a_clock_that_is_set_back_begins_a_new_window(tmp_path):
    async with valkey(tmp_path) as server, server.client() as client:
        windows = WindowClient(client, "test", "a", WINDOW_SLOTS)
        everything = an_ask(want_requests=100, want_tokens=10_000)
        (before,) = (
            await windows.exchange([("k", everything)], count=False, now_ms=START_MS)
        ).replies
        known = an_ask(epoch=before.epoch)
        hour_ms = 3_600_000
        (after,) = (
            await windows.exchange([("k", known)], count=False, now_ms=START_MS - hour_ms)
        ).replies
        assert after.lost
        assert after.epoch != before.epoch


@bounded()
async def test_keys_expire_without_requests(tmp_path):
    async with valkey(tmp_path) as server, server.client() as client:
        windows = WindowClient(client, "test", "a", window_slots=2)
        await windows.exchange([("k", an_ask())], count=True)
        for key in await client.keys("*"):
            assert 0 < await client.pttl(key) <= 3000


@bounded()
async def test_a_server_without_memory_refuses_all_of_it(tmp_path):
    async with valkey(tmp_path) as server, server.client() as client:
        windows = WindowClient(client, "test", "a", WINDOW_SLOTS)
        await windows.exchange([("k", an_ask())], count=False)
        before = await client.hgetall("{test}:window:k")
        await server.run_out_of_memory()
        with pytest.raises(Exception, match="maxmemory"):
            await windows.exchange([("k", an_ask()), ("l", an_ask())], count=True)
        assert await client.hgetall("{test}:window:k") == before
        await server.have_memory_again()
        (grant,) = (await windows.exchange([("k", an_ask())], count=False)).replies
        assert grant.requests == 1
