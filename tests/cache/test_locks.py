"""Equal calls are sent once although the server with the locks is slow."""

import asyncio
import json
from time import monotonic

import pytest
import yaml
from msgspec import structs

from llmproxy.batteries.cache.answers import AnswerLevels, CacheCounters
from llmproxy.batteries.cache.coalescing import Coalescer
from llmproxy.batteries.cache.lookup import CachePolicy
from llmproxy.batteries.cache.stores.memory import MemoryStore
from llmproxy.batteries.config_file import parse_config
from llmproxy.calls import Patience
from llmproxy.record import CallRecord
from llmproxy.runtime import pool_of
from tests.routing.pools import call
from tests.support.proxy import config_for
from tests.support.run import bounded
from tests.support.vendor import chat

ANSWER = json.dumps(chat("good")).encode()
BODY = json.dumps({"model": "gpt-4.1", "temperature": 0, "messages": []}).encode()


class SlowLocks:
    """Locks that take a while, the later ones longer; then this instance has them or not."""

    def __init__(self, *, granted):
        self.granted = granted
        self.asked = 0

    async def acquire(self, key):
        self.asked = number = self.asked + 1
        await asyncio.sleep(0.01 * number)
        return self.granted(number)

    async def renew(self, key):
        await asyncio.sleep(60)

    async def release(self, key):
        pass


class FakeClient:
    """A client that keeps what it gets."""

    connected = True

    def __init__(self):
        self.started, self.body = False, b""

    def start(self, status, headers, *, length):
        self.started = True

    def write(self, chunk):
        self.body += chunk
        return True

    def finish(self):
        pass

    def keep_call(self, on_leave):
        pass


def lookup():
    config = config_for("http://127.0.0.1:1/v1", cache=True)
    parsed = parse_config(yaml.safe_dump(config), {}, file="test.yaml")
    group = pool_of(parsed).groups["gpt-4.1"]
    over_at = monotonic() + 9
    sent = structs.replace(
        call("gpt-4.1"), body=BODY, patience_s=9_999, patience=Patience(over_at), ends_at=over_at
    )
    return CachePolicy(parsed).lookup(sent, group, CallRecord())


@pytest.mark.parametrize(
    "granted",
    [lambda _: True, lambda asked: asked == 1],
    ids=["the server is in trouble", "the first one has the lock"],
)
@bounded()
async def test_calls_that_waited_for_a_lock_follow_the_one_that_leads_by_then(granted):
    levels = AnswerLevels(
        MemoryStore(max_bytes=1_000_000, keep_s=60), None, CacheCounters(), fresh_s=60
    )
    locks, sent = SlowLocks(granted=granted), []
    coalescer = Coalescer(levels, locks=locks)

    async def ask(downstream, record):
        sent.append(record)
        await asyncio.sleep(0.5)
        downstream.start(200, [(b"content-type", b"application/json")], length=len(ANSWER))
        downstream.write(ANSWER)
        downstream.finish()

    clients, wanted = [FakeClient() for _ in range(20)], lookup()
    await asyncio.gather(
        *(coalescer.answer(wanted, client, CallRecord(), ask) for client in clients)
    )
    assert len(sent) == 1
    assert [client.body for client in clients] == [ANSWER] * 20
    assert locks.asked <= 20
    await coalescer.close()
