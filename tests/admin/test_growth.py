"""What the charts, the state and a scrape cost while there are many endpoints."""

import asyncio
import sys
from math import inf
from time import monotonic
from types import SimpleNamespace

import pytest

from llmproxy.batteries.admin.stats.collector import Counters
from llmproxy.batteries.admin.stats.marks import Marks
from llmproxy.batteries.admin.stats.slices import in_slices, pause_s
from llmproxy.batteries.admin.stats.slowness import Slowness
from llmproxy.batteries.admin.stats.status_times import StatusTimes
from llmproxy.batteries.telemetry.counters import EndpointCounters, GroupCounters, minus
from tests.support.client import ask
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded


def counted(endpoints, *, answered=0):
    """Return the counters of a group; the first of its endpoints has answered so often more."""
    counters = Counters()
    found = {f"e{n}": EndpointCounters(answered=5) for n in range(endpoints)}
    found["e0"].answered += answered
    found["e0"].first_byte.counts[0] += answered
    counters.calls.groups = {"m": GroupCounters(endpoints=found)}
    return counters


def functions_called(work):
    """Return how many functions of Python `work` calls, itself and comprehensions left out."""
    calls = []

    def note(frame, event, _argument):
        if event == "call" and not frame.f_code.co_name.startswith("<"):
            calls.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("endpoints", [10, 1_000])
def test_a_step_combines_only_the_endpoints_that_had_calls(endpoints):
    before, after = counted(endpoints), counted(endpoints, answered=2)
    calls = functions_called(lambda: minus(after, before))
    one = functions_called(lambda: minus(counted(1, answered=2), counted(1)))
    combined = one.count("_combined")
    assert calls.count("_combined") == combined > 0
    step = minus(after, before).calls.groups["m"].endpoints
    assert {name: of.answered for name, of in step.items()} == {"e0": 2}


@pytest.mark.parametrize("endpoints", [10, 1_000])
def test_only_an_endpoint_that_answered_in_the_last_minute_may_be_slow(endpoints):
    before, after = counted(endpoints), counted(endpoints, answered=2)
    slowness = Slowness(before)
    calls = functions_called(lambda: slowness.update(before, after, 1_000.0))
    assert calls.count("slow_medians") == 1


def many(endpoints):
    """Return a config with so many endpoints that get no calls."""
    params = {"base_url": "http://127.0.0.1:9/v1", "api_key": "sk-x"}
    return config_for(
        *({"name": f"e{n}", "model": "m", "params": params} for n in range(endpoints))
    )


@pytest.mark.parametrize("endpoints", [10, 500])
@bounded()
async def test_a_sample_asks_only_the_endpoints_that_are_perhaps_not_ok(endpoints):
    async with serve_proxy(many(endpoints)) as proxy:
        states = proxy.runtime.pool.groups["gpt-4.1"].states
        times = StatusTimes(proxy.app.live, Marks(0.0), 1_000.0)
        functions = functions_called(lambda: times.look(1_001.0))
        assert "endpoint_status" not in functions
        assert len(functions) < 10

        states[3].drain()
        functions = functions_called(lambda: times.look(1_002.0))
        assert functions.count("endpoint_status") == 1
        assert [times.since("gpt-4.1", f"e{n}") for n in (2, 3)] == [1_000.0, 1_002.0]

        states[3].enable()
        times.look(1_003.0)
        assert times.since("gpt-4.1", "e3") == 1_003.0


async def longest_hold_s(work):
    """Await `work`; return the longest time in which nothing else had its turn, and the turns."""
    longest, turns, last = 0.0, 0, inf
    working = asyncio.ensure_future(work)
    while not working.done():
        longest, turns, last = max(longest, monotonic() - last), turns + 1, monotonic()
        await asyncio.sleep(0)
    await working
    return longest, turns


@pytest.mark.clock
@pytest.mark.parametrize("path", ["/metrics", "/admin/state", "/health"])
@bounded()
async def test_calls_go_on_while_500_endpoints_are_looked_at(path):
    async with serve_proxy(many(500)) as proxy:
        await ask(
            proxy.port, path, method="GET", host="localhost"
        )  # what is imported late is there
        await asyncio.sleep(pause_s([SimpleNamespace(states=range(500))]))
        longest_s, _ = await longest_hold_s(ask(proxy.port, path, method="GET", host="localhost"))
        assert longest_s < 0.03  # 0.2 without slices


@bounded()
async def test_other_work_gets_its_turn_between_slices():
    def slow_pieces():
        for piece in range(5):
            ends_at = monotonic() + 0.002
            while monotonic() < ends_at:
                pass
            yield piece

    found = asyncio.ensure_future(in_slices(slow_pieces()))
    turns = 0
    while not found.done():
        turns += 1
        await asyncio.sleep(0)
    assert await found == [0, 1, 2, 3, 4]
    assert turns >= 5


@pytest.mark.parametrize(("endpoints", "seconds"), [(1, 0.5), (100, 0.5), (500, 2.0), (1_000, 4.0)])
def test_many_endpoints_are_looked_at_less_often(endpoints, seconds):
    halves = [range(endpoints // 2), range(endpoints - endpoints // 2)]
    assert pause_s([SimpleNamespace(states=half) for half in halves]) == seconds


@bounded()
async def test_the_state_of_many_endpoints_is_kept_for_longer_but_not_after_an_action():
    async with serve_proxy(many(500)) as proxy:

        async def states_of(name):
            reply = await ask(proxy.port, "/admin/state", method="GET", host="localhost")
            found = reply.json
            drained = {
                endpoint["endpoint"]: endpoint["drained"]
                for endpoint in found["groups"][0]["endpoints"]
            }
            return found["now"], drained[name]

        first, _ = await states_of("e7")
        await asyncio.sleep(0.7)
        assert (await states_of("e7"))[0] == first
        body = b'{"endpoint": "e7"}'
        reply = await ask(proxy.port, "/admin/drain", body=body, host="localhost")
        assert reply.status == 200, reply.body
        again, is_drained = await states_of("e7")
        assert again > first
        assert is_drained
