"""A simulated call does what the real attempt loop does: the same endpoints, the same end.

Both meet the same scripted failures; the loop in real time (with waits of milliseconds), the
simulated call at its own clock.
"""

import time
from types import SimpleNamespace

import pytest

from llmproxy.calls import Accepted, Call
from llmproxy.config import parse_config
from llmproxy.errors import (
    Answer,
    ConnectFailed,
    CredentialRejected,
    GatewayError,
    Overloaded,
    RequestRejected,
    Throttled,
    TimedOut,
    UpstreamFailed,
)
from llmproxy.events import Listeners
from llmproxy.operations.table import Replay, route_to
from llmproxy.pipeline.failover import Failover
from llmproxy.pipeline.failover.waiting import WaitingRooms
from llmproxy.record import CallRecord
from llmproxy.routing.actions import AttemptPolicy
from llmproxy.runtime import pool_of
from llmproxy.tools.simulate.clock import Clock
from llmproxy.tools.simulate.proxy import Proxy
from llmproxy.tools.simulate.results import Results
from llmproxy.tools.simulate.traffic import Arrival
from llmproxy.tools.simulate.vendors import Outcome
from tests.support.run import bounded

OK = None


def small_draw():
    return 0.01


def answer(status):
    return Answer(status, [], b"{}")


def failed():
    return UpstreamFailed("failed", answer=answer(500))


def lost():
    return UpstreamFailed("reset")


def unreachable():
    return ConnectFailed("no connection")


def throttled(wait_s):
    return lambda: Throttled("too fast", retry_after_s=wait_s, answer=answer(429))


def rejected():
    return RequestRejected("no", answer=answer(400))


def refused():
    return CredentialRejected("who", answer=answer(401))


def overloaded():
    return Overloaded("busy", answer=answer(503), retry_after_s=0.1)


def silent():
    return TimedOut("silence", phase="first byte")


# what each endpoint answers, call by call (the last for ever); and settings
CASES = {
    "all well": ({"a": [OK], "b": [OK]}, {}),
    "the next endpoint": ({"a": [failed], "b": [OK]}, {}),
    "all fail": ({"a": [failed], "b": [lost]}, {}),
    "all fail for long": ({"a": [lost], "b": [lost]}, {"num_retries": 1}),
    "nobody is there": ({"a": [unreachable], "b": [unreachable]}, {"cooldown_time": 0.2}),
    "one comes back": ({"a": [unreachable, OK], "b": [failed]}, {"cooldown_time": 0.2}),
    "the client's own": ({"a": [rejected], "b": [OK]}, {}),
    "a wrong key": ({"a": [refused], "b": [OK]}, {}),
    "only wrong keys": ({"a": [refused], "b": [refused]}, {}),
    "silence": ({"a": [silent], "b": [silent]}, {"num_retries": 1}),
    "throttled for a moment": ({"a": [throttled(0.2), OK]}, {}),
    "throttled for long": ({"a": [throttled(30)], "b": [throttled(40)]}, {}),
    "throttled, then failed": ({"a": [throttled(0.1), failed], "b": [failed]}, {}),
    "overloaded": ({"a": [overloaded, OK], "b": [overloaded]}, {"cooldown_time": 0.2}),
    "no retries": ({"a": [failed], "b": [OK]}, {"num_retries": 0}),
    "the other group": ({"a": [refused], "z": [OK]}, {}),
    "no group": ({"a": [refused], "z": [failed]}, {"num_retries": 0}),
}


def pool_for(script, settings):
    """Group `g` of the endpoints a and b; `z` is alone in the group that `g` falls back on."""

    def group(name, members):
        lines = [f"  - model_group: {name}", "    models:"]
        return lines + [
            f"      - {{name: {e}, model: m, params: {{api_key: k-{e}}}}}" for e in members
        ]

    lines = ["model_groups:", *group("g", [name for name in script if name != "z"])]
    if "z" in script:
        lines[2:2] = ["    fallbacks: [h]"]
        lines += group("h", ["z"])
    lines += ["general_settings:", *(f"  {key}: {value}" for key, value in settings.items())]
    config = parse_config("\n".join(lines if settings else lines[:-1]), {}, file="test.yaml")
    return config, pool_of(config)


class Script:
    """Plays the endpoints, and remembers who was asked."""

    def __init__(self, script):
        self.left = {name: list(steps) for name, steps in script.items()}
        self.asked = []

    def next(self, name):
        self.asked.append(name)
        steps = self.left[name]
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        failure = step and step()
        if failure is not None:
            failure.endpoint = name
        return failure


class ScriptedAttempts:
    def __init__(self, script):
        self.script = script

    async def make(self, call, endpoint, record):
        failure = self.script.next(endpoint.name)
        if failure is not None:
            raise failure
        response = SimpleNamespace(headers=[], status=200, close=lambda: None)
        return Accepted(call, endpoint.name, response, b"")


async def by_the_loop(script, settings):
    config, pool = pool_for(script, settings)
    played, general, now = Script(script), config.general_settings, time.monotonic()
    failover = Failover(
        ScriptedAttempts(played),
        Listeners(),
        AttemptPolicy(general.num_retries + 1, general.queue),
        draw=small_draw,
        rooms=WaitingRooms(),
    )
    route = route_to("chat/completions")
    call = Call(
        *("id", "POST", route, b"", [], b"{}", "g", "g", False, Replay.SAFE, False, "client"),
        *(now, 600.0, now + 600, now + 600),
    )
    try:
        async with failover.first_accepted(call, pool.groups["g"], CallRecord()):
            return played.asked, 200
    except GatewayError as error:
        return played.asked, error.status


def by_simulation(script, settings):
    config, pool = pool_for(script, settings)
    played, clock, results = Script(script), Clock(), Results(1.0)
    vendors, counts = {}, {}
    for state in (state for group in pool.groups.values() for state in group.states):
        name = state.endpoint.name
        vendors[state] = SimpleNamespace(
            answer=lambda tokens, now, name=name: Outcome(now, played.next(name))
        )
        counts[state] = SimpleNamespace(
            **dict.fromkeys(("served", "refused", "failed", "input_tokens", "output_tokens"), 0),
            served_at=results.refused_at[:],
        )
    proxy = Proxy(
        pool,
        config.general_settings,
        clock=clock,
        results=results,
        vendors=vendors,
        counts=counts,
        chance=SimpleNamespace(random=small_draw),
    )
    clock.run([Arrival(0.0, "g", 1, 1, 2)], proxy.take)
    return played.asked, next(iter(results.client_errors), 200)


@pytest.mark.parametrize("case", CASES)
@bounded()
async def test_a_simulated_call_goes_where_a_real_one_goes(case):
    script, settings = CASES[case]

    real = await by_the_loop(script, settings)

    assert by_simulation(script, settings) == real
    assert real[0], "somebody was asked"
