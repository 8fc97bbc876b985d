"""News: what one instance learns of an endpoint, all others know within a moment.

A cooldown and an opened breaker are published at once, and kept while they are true, so that who
comes later or was away learns them too. So is the operator's word that answers are to be
forgotten. Nothing here is awaited by a call. While the server is away, news wait; each instance
then acts on what it knows itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

import msgspec
from redis.exceptions import RedisError

from llmproxy.events import EndpointStateChanged
from llmproxy.shared_state.address import Client, Script, patience

# Told: group, endpoint, state, for how many seconds (None: it is over), now.
ApplyState = Callable[[str, str, str, float | None, float], None]
# Told: a group (None: all), and before which moment (Unix seconds) its answers were stored.
ApplyPurge = Callable[[str | None, float], object]

# A breaker is one matter and a cooldown another: the end of one does not end the other.
ABOUT = {
    "open": "breaker",
    "closed": "breaker",
    "cooling": "cooldown",
    "misconfigured": "cooldown",
    "cleared": "cooldown",
    "drained": "drain",
    "enabled": "drain",
    "purged": "cache",
}
OVER = frozenset(("closed", "cleared", "enabled"))  # the end of something that was told
DRAIN_S = 30 * 86_400.0  # an operator's word is true until it is taken back, but not for ever
PURGE_S = 60.0  # who was away for longer has forgotten everything, or will not be believed
RETRY_S = 0.5  # after a failure of the server
SILENCE_S = 1.0  # after this long without news ask whether the connection still is one
PATIENCE_S = 2.0  # and give it up after this long without an answer


About = tuple[str, str, str]


class StateMessage(msgspec.Struct, frozen=True, array_like=True):
    """One piece of news, as it goes over the wire."""

    by: str  # the instance
    group: str
    endpoint: str
    state: str
    stored_before: float = 0.0  # of a purge

    @property
    def about(self) -> About:
        """What it replaces older news of."""
        return self.group, self.endpoint or str(self.stored_before), ABOUT[self.state]


class _Pending(msgspec.Struct, frozen=True):
    """A message to publish, and until when (on our clock) it holds; 0: it ends something."""

    news: StateMessage
    until: float


class StateBroadcast:
    """Tells what happens here and hears what happened elsewhere. Owned by a SharedState, which runs
    its two jobs. Keeps, for each endpoint, the latest news of its own while it is true.
    """

    def __init__(
        self, client: Client, *, namespace: str, instance: str, apply_state: ApplyState
    ) -> None:
        self._client = client
        self._channel = f"{{{namespace}}}:news"
        self._instance = instance
        self._apply_state = apply_state
        self._publish_script = Script("publish.lua")
        self._recall = Script("recall.lua")
        self.on_purge: ApplyPurge | None = None  # called with purges of other instances
        self._true: dict[About, _Pending] = {}
        self._pending: dict[About, _Pending] = {}
        self._has_pending = asyncio.Event()
        self.listening = False
        self.caught_up = asyncio.Event()  # what was told before was heard, for the first time

    def publish(self, event: EndpointStateChanged) -> None:
        """An endpoint's state changed here. What is nobody else's concern is not told."""
        if event.state not in ABOUT:
            return
        news = StateMessage(self._instance, event.group, event.endpoint, event.state)
        if event.state in OVER:
            self._true.pop(news.about, None)
            self._pending[news.about] = _Pending(news, 0.0)
        else:
            for_s = DRAIN_S if event.state == "drained" else event.for_s or 0.0
            told = _Pending(news, monotonic() + for_s)
            before = self._true.get(news.about, told)
            self._pending[news.about] = self._true[news.about] = max(told, before, key=_until)
        self._has_pending.set()

    def publish_purge(self, group: str | None, stored_before: float) -> None:
        """The operator wants answers to be forgotten, here and everywhere."""
        news = StateMessage(self._instance, group or "", "", "purged", stored_before)
        told = _Pending(news, monotonic() + PURGE_S)
        self._pending[news.about] = self._true[news.about] = told
        self._has_pending.set()

    async def run_publisher(self) -> None:
        """The job that publishes. Ends only when it is cancelled."""
        while True:
            await self._has_pending.wait()
            self._has_pending.clear()
            while self._pending:
                about, told = next(iter(self._pending.items()))
                try:
                    async with patience(connected=False):
                        await self._send(told)
                except (RedisError, OSError, TimeoutError):
                    await asyncio.sleep(RETRY_S)
                    continue
                if self._pending.get(about) is told:
                    del self._pending[about]

    async def run_subscriber(self) -> None:
        """The job that hears. Ends only when it is cancelled."""
        while True:
            try:
                await self._listen_until_it_breaks()
            except (RedisError, OSError, TimeoutError):
                await asyncio.sleep(RETRY_S)
            finally:
                self.listening = False

    async def _listen_until_it_breaks(self) -> None:
        async with self._client.pubsub() as channel:
            async with patience(connected=False):
                await channel.subscribe(self._channel)
                kept = await self._recall.run(self._client, [self._channel], [])
            for told in kept:
                self._heard(told)
            self._publish_again()
            self.listening = True
            self.caught_up.set()
            heard_at = monotonic()
            while True:
                message = await channel.get_message(timeout=SILENCE_S)
                if message is not None:
                    heard_at = monotonic()
                    if message["type"] == "message":
                        self._heard(message["data"])
                elif monotonic() - heard_at > PATIENCE_S:
                    raise TimeoutError
                else:
                    await channel.ping()

    async def _send(self, told: _Pending) -> None:
        news, over = told.news, told.news.state in OVER
        left_ms = round((told.until - monotonic()) * 1000)
        if left_ms <= 0 and not over:
            return
        about, text = (msgspec.json.encode(each).decode() for each in (news.about, news))
        await self._publish_script.run(
            self._client, [self._channel], [about, text, 0 if over else left_ms]
        )

    def _publish_again(self) -> None:
        """The server may have come back empty."""
        now = monotonic()
        self._true = {about: told for about, told in self._true.items() if told.until > now}
        self._pending = self._true | self._pending
        if self._pending:
            self._has_pending.set()

    def _heard(self, told: bytes) -> None:
        ms, _, text = told.partition(b" ")
        try:
            news, for_s = msgspec.json.decode(text, type=StateMessage), int(ms) / 1000.0
        except (msgspec.DecodeError, ValueError):
            return  # of another version, or not from us at all
        if news.by == self._instance or news.state not in ABOUT:
            return
        if news.state == "purged":
            if self.on_purge is not None:
                self.on_purge(news.group or None, news.stored_before)
            return
        if news.state in OVER:
            self._true.pop(news.about, None)
        self._apply_state(news.group, news.endpoint, news.state, for_s or None, monotonic())


def _until(told: _Pending) -> float:
    return told.until
