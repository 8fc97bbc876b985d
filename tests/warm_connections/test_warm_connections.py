"""Connections to endpoints stay open between calls, over real connections."""

import asyncio
from time import monotonic
from types import SimpleNamespace

import pytest

from llmproxy.batteries.background import background
from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.warm_connections.keeper import RecentUse, WarmConnections
from llmproxy.errors import ConfigError, ConnectFailed
from llmproxy.upstream import Origin
from tests.support.client import CHAT, ask
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import chat, http, scripted
from tests.support.waiting import until

pytestmark = pytest.mark.clock
IDLE_S = 0.6  # after which a connection without a call is closed
SOON_S = 2.5 * IDLE_S


def config(vendor, **pool):
    settings = {"pool": pool} if pool else {}
    return config_for(vendor.base_url, timeouts={"upstream_idle_s": IDLE_S}, **settings)


def slow(_received, _number):
    """Answer so late that calls that begin together use a connection each."""
    return [0.1, http(chat())]


async def three_at_once(proxy):
    answers = await asyncio.gather(*(ask(proxy.port, body=CHAT) for _ in range(3)))
    assert {answer.status for answer in answers} == {200}


@bounded()
async def test_as_many_as_calls_used_stay_open_each_replaced_before_it_is_closed():
    async with scripted(slow) as vendor, serve_proxy(config(vendor, warm=8)) as proxy:
        await three_at_once(proxy)
        ends_at, fewest, most = monotonic() + SOON_S, 3, 3
        while monotonic() < ends_at:
            fewest = min(fewest, vendor.open_connections)
            most = max(most, vendor.open_connections)
            await asyncio.sleep(0.01)
        assert fewest == 3
        assert most <= 6
        assert vendor.connections > 3, "none is kept for longer than others"


@bounded()
async def test_a_call_after_a_pause_uses_one_that_is_there():
    async with scripted(slow) as vendor, serve_proxy(config(vendor, warm=1)) as proxy:
        await ask(proxy.port, body=CHAT)
        for _ in range(3):
            await asyncio.sleep(SOON_S)
            known = vendor.connections
            await ask(proxy.port, body=CHAT)
            assert vendor.received[-1].connection <= known


@bounded()
async def test_no_more_than_the_setting_says_are_kept():
    async with scripted(slow) as vendor, serve_proxy(config(vendor, warm=1)) as proxy:
        await three_at_once(proxy)
        await until(lambda: vendor.open_connections <= 2)
        await asyncio.sleep(SOON_S)
        assert 1 <= vendor.open_connections <= 2  # one, and the one that takes its place


@bounded()
async def test_by_default_connections_close_after_their_idle_time():
    async with scripted(slow) as vendor, serve_proxy(config(vendor)) as proxy:
        await three_at_once(proxy)
        await until(lambda: vendor.open_connections == 0)
        await asyncio.sleep(SOON_S)
        assert vendor.connections == 3


@bounded()
async def test_one_that_its_host_closes_fails_no_call():
    async with scripted(slow) as vendor, serve_proxy(config(vendor, warm=1)) as proxy:
        await ask(proxy.port, body=CHAT)
        await until(lambda: vendor.connections >= 2)
        known = vendor.connections
        vendor.answer = lambda received, _: (
            ["close"] if received.connection <= known else slow(None, 0)
        )
        answer = await ask(proxy.port, body=CHAT)
        assert answer.status == 200, "it was sent again on a new connection"


class DeadHost:
    """An origin that cannot be dialled. `dials`: how often it was tried."""

    def __init__(self):
        self.dials = 0
        self.origin = Origin(self._dial, max_open=8, wait_s=1, idle_s=IDLE_S)

    async def _dial(self, make):
        self.dials += 1
        if self.dials > 3:
            raise ConnectFailed("refused")
        return make()


def living_on(origins, warm):
    """Return what the keeper reads of a live config."""
    text = f"general_settings: {{pool: {{warm: {warm}}}, timeouts: {{upstream_idle_s: {IDLE_S}}}}}"
    parsed = parse_config(GROUP + text, {}, file="test.yaml")
    client = SimpleNamespace(origins=origins)
    resources = SimpleNamespace(attempts=SimpleNamespace(client=client))
    return SimpleNamespace(runtime=SimpleNamespace(config=parsed, resources=resources))


GROUP = "model_groups: [{model_group: g, models: [{model: gpt-4.1, params: {api_key: k}}]}]\n"


@bounded()
async def test_a_host_that_cannot_be_dialled_is_left_alone_for_a_while():
    host = DeadHost()
    used = [await host.origin.acquire(fresh=True) for _ in range(3)]
    async with background(WarmConnections(living_on([host.origin], warm=8)).run):
        await asyncio.sleep(IDLE_S / 2)  # a look finds three in use
        for connection in used:
            connection.abort()
        await until(lambda: host.dials > 3)
        await asyncio.sleep(SOON_S)
        assert host.dials <= 6, "one look's dials"


def test_the_most_of_the_last_ten_minutes_counts():
    use = RecentUse()
    use.note(5, 0.0)
    use.note(2, 300.0)
    assert use.most == 5
    use.note(2, 601.0)
    assert use.most == 2
    use.note(0, 1_202.0)
    assert use.most == 0


@bounded()
async def test_without_the_battery_a_config_that_asks_for_it_is_refused():
    async with scripted(slow) as vendor:
        with pytest.raises(ConfigError, match="warm_connections"):
            async with serve_proxy(config(vendor, warm=1), without=["warm_connections"]):
                pass


def test_a_number_below_0_is_refused():
    with pytest.raises(ConfigError, match="warm"):
        parse_config(GROUP + "general_settings: {pool: {warm: -1}}", {}, file="test.yaml")
