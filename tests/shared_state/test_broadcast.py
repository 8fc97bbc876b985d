"""What one instance learns of an endpoint, all others know within a moment, latecomers too."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median
from time import monotonic

import pytest

from llmproxy.batteries.settings import FullSettings
from llmproxy.batteries.shared_state.opening import open_shared_state
from llmproxy.batteries.shared_state.view import SharedState
from llmproxy.events import EndpointStateChanged
from tests.support.run import bounded
from tests.support.valkey import valkey

WAIT_S = 30.0


@dataclass
class Reader:
    """An instance that records the changes that it receives, and when."""

    view: SharedState
    heard: list

    def tell(self, state, for_s=None, *, endpoint="east"):
        self.view.endpoint_state_changed(
            EndpointStateChanged("gpt-4.1", endpoint, state, "because", for_s)
        )

    async def received(self, count):
        """Wait for the first `count` changes."""
        async with asyncio.timeout(WAIT_S):
            while len(self.heard) < count:
                await asyncio.sleep(0.001)
        return [news for _, news in self.heard[:count]]


@asynccontextmanager
async def reader(server):
    heard = []

    def hear(group, endpoint, state, for_s, now):
        heard.append((now, (group, endpoint, state, for_s)))

    settings = FullSettings(redis_url=server.url)
    async with open_shared_state(settings, apply_state=hear) as view:
        yield Reader(view, heard)


async def listening(server, count=2):
    """So many instances have subscribed."""
    while (await server.command("PUBSUB", "NUMSUB", "{llmproxy}:news"))[1] < count:
        await asyncio.sleep(0.005)


@pytest.mark.clock
@pytest.mark.parametrize("state", ["cooling", "misconfigured", "open"])
@bounded()
async def test_another_instance_learns_it_at_once(tmp_path, state):
    async with valkey(tmp_path) as server, reader(server) as one, reader(server) as other:
        await listening(server)
        took_s = []
        for number in range(5):
            began = monotonic()
            one.tell(state, 7.0, endpoint=f"e{number}")
            news = (await other.received(number + 1))[-1]
            took_s.append(other.heard[-1][0] - began)
            assert news == ("gpt-4.1", f"e{number}", state, pytest.approx(7.0, abs=0.5))
        assert median(took_s) < 0.1


@bounded()
async def test_an_instance_ignores_its_own_messages(tmp_path):
    async with valkey(tmp_path) as server, reader(server) as one, reader(server) as other:
        await listening(server)
        one.tell("cooling", 7.0)
        await other.received(1)
        assert one.heard == []


@bounded()
async def test_the_end_of_a_state_is_published(tmp_path):
    async with valkey(tmp_path) as server, reader(server) as one, reader(server) as other:
        await listening(server)
        one.tell("open", 7.0)
        one.tell("closed")
        assert (await other.received(1))[-1][2] in ("open", "closed")
        async with asyncio.timeout(WAIT_S):
            while other.heard[-1][1][2] != "closed":
                await asyncio.sleep(0.001)
        assert other.heard[-1][1] == ("gpt-4.1", "east", "closed", None)


@bounded()
async def test_a_half_open_breaker_is_not_published(tmp_path):
    async with valkey(tmp_path) as server, reader(server) as one, reader(server) as other:
        await listening(server)
        one.tell("half-open")
        one.tell("cooling", 7.0)
        assert [news[2] for news in await other.received(1)] == ["cooling"]


@bounded()
async def test_a_later_instance_learns_the_states_in_force(tmp_path):
    async with valkey(tmp_path) as server, reader(server) as one:
        await listening(server, 1)
        one.tell("cooling", 30.0)
        one.tell("open", 60.0, endpoint="west")
        one.tell("open", 60.0, endpoint="north")
        one.tell("closed", endpoint="north")
        one.tell("cooling", 0.05, endpoint="south")
        async with asyncio.timeout(WAIT_S):
            while await server.command("HLEN", "{llmproxy}:news") < 3:
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)
        async with reader(server) as newcomer:
            news = await newcomer.received(2)
            assert {change[:3] for change in news} == {
                ("gpt-4.1", "east", "cooling"),
                ("gpt-4.1", "west", "open"),
            }
            assert all(change[3] > 20 for change in news)


@bounded()
async def test_the_end_of_a_breaker_does_not_end_a_cooldown(tmp_path):
    async with valkey(tmp_path) as server, reader(server) as one:
        await listening(server, 1)
        one.tell("cooling", 30.0)
        one.tell("open", 60.0)
        one.tell("closed")
        async with asyncio.timeout(WAIT_S):
            while len(await server.command("HKEYS", "{llmproxy}:news")) != 1:
                await asyncio.sleep(0.005)
        async with reader(server) as newcomer:
            assert [change[2] for change in await newcomer.received(1)] == ["cooling"]


@bounded()
async def test_a_cooldown_is_never_shortened(tmp_path):
    async with valkey(tmp_path) as server, reader(server) as one, reader(server) as other:
        await listening(server)
        one.tell("misconfigured", 300.0)
        await other.received(1)
        other.tell("cooling", 5.0)
        await one.received(1)
        async with reader(server) as newcomer:
            (news,) = await newcomer.received(1)
            assert news[2:] == ("misconfigured", pytest.approx(300.0, abs=5.0))


@bounded()
async def test_changes_during_an_outage_are_published_after_it(tmp_path):
    async with valkey(tmp_path) as server, reader(server) as one, reader(server) as other:
        await listening(server)
        await server.kill()
        one.tell("cooling", 60.0)
        await asyncio.sleep(0.3)
        await server.start()
        ((*_, state, for_s),) = await other.received(1)
        assert state == "cooling"
        assert 50 < for_s < 60


@bounded()
async def test_states_in_force_are_published_again_to_an_empty_server(tmp_path):
    async with valkey(tmp_path) as server, reader(server) as one:
        await listening(server, 1)
        one.tell("cooling", 60.0)
        async with asyncio.timeout(WAIT_S):
            while not await server.command("HLEN", "{llmproxy}:news"):
                await asyncio.sleep(0.005)
        await server.restart_empty()
        async with asyncio.timeout(10):
            while not await server.command("HLEN", "{llmproxy}:news"):
                await asyncio.sleep(0.02)


@bounded()
async def test_the_subscriber_connects_again_after_a_server_hung(tmp_path):
    async with valkey(tmp_path) as server, reader(server) as one, reader(server) as other:
        await listening(server)
        server.hang()
        await asyncio.sleep(3.5)  # long enough to give the connection up
        one.tell("cooling", 60.0)
        server.go_on()
        assert (await other.received(1))[0][2] == "cooling"


@pytest.mark.parametrize("junk", ["", "hello", "12 []", '5 ["a","b","c","flying"]', "x [1,2]"])
@bounded()
async def test_text_that_is_not_a_message_is_ignored(tmp_path, junk):
    async with valkey(tmp_path) as server, reader(server) as one, reader(server) as other:
        await listening(server)
        await server.command("PUBLISH", "{llmproxy}:news", junk)
        await server.command("HSET", "{llmproxy}:news", "junk", junk)
        one.tell("cooling", 7.0)
        assert len(await other.received(1)) == 1
        async with reader(server) as newcomer:
            assert [change[2] for change in await newcomer.received(1)] == ["cooling"]


@bounded()
async def test_a_purge_reaches_the_others_and_those_disconnected_for_a_moment(tmp_path):
    forgotten = []
    async with valkey(tmp_path) as server:
        async with reader(server) as one, reader(server) as other:
            other.view.on_purge(lambda *purged: forgotten.append(purged))
            one.view.on_purge(lambda *purged: forgotten.append("its own"))
            await listening(server)
            one.view.publish_purge("gpt-4.1", 1000.5)
            one.view.publish_purge(None, 2000.0)
            async with asyncio.timeout(WAIT_S):
                while len(forgotten) < 2:
                    await asyncio.sleep(0.001)
            assert forgotten == [("gpt-4.1", 1000.5), (None, 2000.0)]
            await server.restart_empty()
            async with asyncio.timeout(WAIT_S):
                while len(forgotten) < 4:
                    await asyncio.sleep(0.001)
            assert sorted(forgotten[2:], key=str) == sorted(forgotten[:2], key=str)
            assert not other.heard
