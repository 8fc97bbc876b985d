"""The failover stage and the simulation make the same decisions, with the same state machine.

Both play the same scripts of random faults, 1,000 in a thorough run: the stage in real time, with
pauses of microseconds, the simulation on its own clock.
"""

import asyncio
import time
from functools import partial
from random import Random
from types import SimpleNamespace

from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.fallbacks import followers_of, with_fallbacks
from llmproxy.batteries.hedging import Hedger
from llmproxy.batteries.strategies import ALL_STRATEGIES
from llmproxy.calls import Accepted, Call, Patience
from llmproxy.errors import GatewayError
from llmproxy.events import Listeners
from llmproxy.operations.table import Replay, route_to
from llmproxy.pipeline.failover import Failover, FirstAccepted
from llmproxy.pipeline.failover.waiting import WaitingRooms
from llmproxy.record import CallRecord
from llmproxy.routing.actions import AttemptPolicy
from llmproxy.runtime import pool_of
from llmproxy.tools.simulate.clock import Clock
from llmproxy.tools.simulate.proxy import Proxy
from llmproxy.tools.simulate.results import Results, TokenCount
from llmproxy.tools.simulate.traffic import Arrival
from llmproxy.tools.simulate.vendors import Outcome
from tests.support.examples import THOROUGH
from tests.support.faults import failure_at
from tests.support.run import bounded

SCRIPTS = 1_000 if THOROUGH else 250
# Attempts take time, so that breakers open one after the other.
AN_ATTEMPT_S = 0.0001
HANGS, A_WHILE_S = object(), 60.0
CALLS = 3  # one after the other, so that later calls meet open breakers and cooldowns
# No fault here ends within seconds; otherwise the result would depend on the machine's speed.
FAULTS = (
    *("ok", "failed", "lost", "unreachable", "silent", "rejected"),
    *("refused", "misconfigured", "unpaid", "throttled", "overloaded"),
)


def small_draw():
    return 0.0001


def config_of(names, *, fallback=False, num_retries=3, strategy="weighted", **general):
    """A group `g` of the endpoints called `names`; it may fall back to `h`, which has `z`."""
    tiers = {name: number // 2 for number, name in enumerate(names)}
    endpoints = [
        f"      - {{name: {name}, model: m, tier: {tiers[name]}, params: {{api_key: k-{name}}}}}"
        for name in names
    ]
    lines = ["model_groups:", "  - model_group: g"]
    lines += ["    fallbacks: [h]"] if fallback else []
    lines += ["    models:", *endpoints]
    if fallback:
        lines += ["  - model_group: h", "    models:"]
        lines += ["      - {name: z, model: m, params: {api_key: k-z}}"]
    lines += ["general_settings:", f"  num_retries: {num_retries}", f"  strategy: {strategy}"]
    lines += [f"  {key}: {value}" for key, value in general.items()]
    return parse_config("\n".join(lines), {}, file="test.yaml")


CONFIGS = [
    config_of(names, fallback=fallback, num_retries=num_retries, strategy=strategy)
    for names in ("a", "ab", "abc")
    for fallback in (False, True)
    for num_retries in (0, 1, 3)
    for strategy in ("weighted", "least_busy")
]


class Script:
    """Plays the endpoints and records the attempts. The last fault of each one repeats forever."""

    def __init__(self, faults):
        self.left = {name: list(names) for name, names in faults.items()}
        self.asked = []

    def next(self, name):
        self.asked.append(name)
        faults = self.left[name]
        fault = faults.pop(0) if len(faults) > 1 else faults[0]
        return HANGS if fault == "hangs" else failure_at(name, fault)

    def outcome(self, name, now):
        """Return the end of an attempt in the simulation."""
        failure = self.next(name)
        return (
            Outcome(now + A_WHILE_S) if failure is HANGS else Outcome(now + AN_ATTEMPT_S, failure)
        )


class ScriptedMaker:
    def __init__(self, script):
        self.script = script

    async def make(self, call, endpoint, record):
        failure = self.script.next(endpoint.name)
        if failure is HANGS:
            await asyncio.sleep(A_WHILE_S)
        elif failure is not None:
            raise failure
        response = SimpleNamespace(headers=[], status=200, close=lambda: None)
        return Accepted(call, endpoint.name, response, b"")


async def by_the_stage(config, faults):
    script, general = Script(faults), config.general_settings
    pool = pool_of(config, hedging=Hedger(), strategies=ALL_STRATEGIES)
    groups = pool.groups
    policy = AttemptPolicy(general.num_retries + 1, general.queue)
    failover = Failover(
        ScriptedMaker(script), Listeners(), policy, draw=small_draw, rooms=WaitingRooms()
    )
    ask = with_fallbacks(partial(FirstAccepted, failover), config, pool)
    statuses = []
    for _ in range(CALLS):
        now = time.monotonic()
        call = Call(
            *("id", "POST", route_to("chat/completions"), b"", [], b"{}", "g", "g"),
            *(False, Replay.SAFE, False, "client", now, 600.0, Patience(now + 600), now + 600),
        )
        try:
            async with ask(call, groups["g"], CallRecord()):
                statuses.append(200)
        except GatewayError as error:
            statuses.append(error.status)
        script.asked.append("|")
    assert [group.in_flight for group in groups.values()] == [0] * len(groups)
    return script.asked, sorted(statuses)


def by_simulation(config, faults):
    pool, script, clock, results = (
        pool_of(config, hedging=Hedger(), strategies=ALL_STRATEGIES),
        Script(faults),
        Clock(),
        Results(1.0),
    )
    states = [state for group in pool.groups.values() for state in group.states]
    vendors = {
        state: SimpleNamespace(
            answer=lambda tokens, now, name=state.endpoint.name: script.outcome(name, now)
        )
        for state in states
    }
    names = ("served", "refused", "failed")
    counts = {
        state: SimpleNamespace(
            **dict.fromkeys(names, 0), tokens=TokenCount(), served_at=results.refused_at[:]
        )
        for state in states
    }
    proxy = Proxy(
        pool,
        config.general_settings,
        followers=followers_of(config, pool),
        clock=clock,
        results=results,
        vendors=vendors,
        counts=counts,
        random=SimpleNamespace(random=small_draw),
    )
    for _ in range(CALLS):
        clock.run([Arrival(clock.now, "g", 1, 1, 2)], proxy.take)
        script.asked.append("|")
    statuses = list(results.client_errors.elements())
    return script.asked, sorted(statuses + [200] * (CALLS - len(statuses)))


@bounded(300)
async def test_the_simulation_tries_the_same_endpoints_as_the_stage_on_random_scripts():
    random = Random(13)
    asked = 0
    for number in range(SCRIPTS):
        config = random.choice(CONFIGS)
        names = [model.name for group in config.model_groups for model in group.models]
        faults = {name: random.choices(FAULTS, k=random.randint(1, 4)) for name in names}

        by_stage = await by_the_stage(config, faults)

        assert by_simulation(config, faults) == by_stage, (number, faults)
        asked += len(by_stage[0]) - CALLS
    assert asked > 2 * SCRIPTS, "the scripts lead to retries"


@bounded(300)
async def test_the_simulation_hedges_as_the_stage_does():
    random = Random(14)
    config = config_of("abc", hedge_after_s=0.004, hedge_budget=1)
    hedged = 0
    for number in range(SCRIPTS // 5):
        faults = {"a": random.choices(("hangs", "hangs", "ok"), k=3)}
        for name in "bc":  # at most one failure each, so that attempts are left
            faults[name] = [*random.choices(("ok", "failed", "lost"), k=1), "ok"]

        by_stage = await by_the_stage(config, faults)

        assert by_simulation(config, faults) == by_stage, (number, faults)
        hedged += len(by_stage[0]) - 2 * CALLS
    assert hedged > SCRIPTS // 5
