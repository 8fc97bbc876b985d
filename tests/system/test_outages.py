"""One of three endpoints fails under load and recovers: no client notices.

One proxy process has a group for each kind of failure. All outages run at the same time,
because a recovered endpoint's share takes ten seconds to grow back.
"""

import asyncio
import functools

import pytest

from tests.support.client import connect, request
from tests.support.process import running
from tests.support.run import bounded, run_number
from tests.system.clients import CLIENTS, Load
from tests.system.vendors import FAULTS, group_of, request_for, vendors

SLOW_START_S = 10.0

pytestmark = pytest.mark.clock
CALLS = 2_000
DIES_AT, RECOVERS_AT = 300, 1_200
CALLS_AFTER = 240
LATENCY_S = 0.04
SETTINGS = {
    "cooldown_time": 0.4,
    "log_format": "json",
    # a stream may stall after its first, contentless event, too: that is the idle wait
    "timeouts": {"first_byte_s": 1.5, "unary_first_byte_s": 1.5, "idle_s": 1.5},
}


class Outage:
    """The outage of one group: of its three vendors, the one with the most weight fails."""

    def __init__(self, fault, members):
        self.fault = fault
        self.members = members
        self.failed_calls = 0  # at the failed vendor
        self.during = self.after = None

    @property
    def group(self):
        return self.fault.replace(" ", "-")

    async def happen(self, port):
        """Run the load before, during and after the outage."""
        victim = self.members[0]
        self.during = Load(port, CALLS, group=self.group, mark=self.fault)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.during.run())
            await self.during.reached(DIES_AT)
            await victim.begin_fault(self.fault)
            await self.during.reached(RECOVERS_AT)
            self.failed_calls = victim.failed
            await victim.recover()
        await self._until_it_is_asked_again(port, victim)
        await asyncio.sleep(SLOW_START_S + 0.2)
        self.after = await Load(port, CALLS_AFTER, group=self.group, clients=10).run()

    async def _until_it_is_asked_again(self, port, victim):
        connection = await connect(port)
        before = victim.served
        while victim.served == before:
            await connection.send(
                request(body=request_for("again?", group=self.group, stream=False))
            )
            assert (await connection.reply()).status == 200
        connection.leave()


@pytest.fixture(scope="module")
def looks(tmp_path_factory):
    """For each look, every outage by its fault, when all are over."""

    @functools.cache
    def look(number):
        outages = {}

        @bounded()
        async def happen():
            async with vendors(3 * len(FAULTS), latency_s=LATENCY_S) as members:
                for number, fault in enumerate(FAULTS):
                    outages[fault] = Outage(fault, members[3 * number : 3 * number + 3])
                config = {
                    "model_groups": [
                        group_of(outage.members, group=outage.group) for outage in outages.values()
                    ],
                    "general_settings": SETTINGS,
                }
                async with running(tmp_path_factory.mktemp("outages"), config=config) as proxy:
                    async with asyncio.TaskGroup() as drills:
                        for outage in outages.values():
                            drills.create_task(outage.happen(proxy.port))

        happen()
        return outages

    return look


@pytest.fixture
def outages(request, looks):
    return looks(run_number(request))


@pytest.mark.parametrize("fault", FAULTS)
def test_none_of_2000_calls_fails_during_an_outage_of_one_endpoint(fault, outages):
    during = outages[fault].during
    assert during.failures == []
    assert during.streamed == CALLS // 2


@pytest.mark.parametrize("fault", FAULTS)
def test_few_attempts_go_to_an_endpoint_during_its_outage(fault, outages):
    # At most one per client until the breaker opens, and occasional probes.
    assert 0 < outages[fault].failed_calls <= CLIENTS + 10


@pytest.mark.parametrize("fault", FAULTS)
def test_an_endpoint_gets_its_share_again_after_an_outage(fault, outages):
    after = outages[fault].after
    assert after.failures == []
    shares = {"w3": CALLS_AFTER // 2, "w2": CALLS_AFTER // 3, "w1": CALLS_AFTER // 6}
    assert after.served_by.keys() == shares.keys()
    for name, share in shares.items():
        assert abs(after.served_by[name] - share) <= 1, after.served_by
