"""Broadcasts the states of endpoints: what one instance learns reaches the others at once.

A cooldown, an opened breaker and a drain are published at once. They are also kept on the server
while they last, for instances that start later or were disconnected. A purge of the cache is
published the same way. No call awaits any of this. While the server is away, messages wait, and
each instance acts on its own view.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

import msgspec
from redis.exceptions import RedisError

from llmproxy.batteries.shared_state.address import Client, Script, patience
from llmproxy.events import EndpointChange, EndpointStateChanged

# Group, endpoint, change, for how many seconds (None = the state has ended), now.
ApplyState = Callable[[str, str, EndpointChange, float | None, float], None]
# A group (None = all), and before which Unix time its answers were stored.
ApplyPurge = Callable[[str | None, float], object]

# What a state is about. A newer message replaces the older one about the same: the end of a
# cooldown does not close a breaker.
SUBJECTS = {
    "open": "breaker",
    "closed": "breaker",
    "cooling": "cooldown",
    "misconfigured": "cooldown",
    "cleared": "cooldown",
    "drained": "drain",
    "enabled": "drain",
    "purged": "cache",
}
ENDINGS = frozenset(("closed", "cleared", "enabled"))
DRAIN_S = 30 * 86_400.0  # a drain lasts until it is undone, but is not kept for ever
PURGE_S = 60.0  # instances that reconnect within this time apply it, too
RETRY_S = 0.5  # after a failure of the server
SILENCE_S = 1.0  # without a message for so long, ping the server
GIVE_UP_S = 2.0  # without an answer for so long, connect again

Subject = tuple[str, str, str]


class StateMessage(msgspec.Struct, frozen=True, array_like=True):
    """One message, as it goes over the wire. `by`: the instance that sends it."""

    by: str
    group: str
    endpoint: str
    state: str
    stored_before: float = 0.0  # of a purge

    @property
    def subject(self) -> Subject:
        """What it is about: a newer message with the same subject replaces it."""
        return self.group, self.endpoint or str(self.stored_before), SUBJECTS[self.state]


class _Pending(msgspec.Struct, frozen=True):
    """A message to publish, and until when (`time.monotonic`) it holds; 0: it ends something."""

    message: StateMessage
    until: float


class StateBroadcast:
    """The publisher and the subscriber. Owned by a SharedState, which runs its two tasks.

    `on_purge`: called with purges of other instances. `caught_up`: set when the messages that the
    server keeps were applied for the first time.
    """

    def __init__(
        self, client: Client, *, namespace: str, instance: str, apply_state: ApplyState
    ) -> None:
        self._client = client
        self._channel = f"{{{namespace}}}:news"
        self._instance = instance
        self._apply_state = apply_state
        self._publish_script = Script("publish.lua")
        self._recall_script = Script("recall.lua")
        self._in_force: dict[Subject, _Pending] = {}  # of this instance, and not ended yet
        self._pending: dict[Subject, _Pending] = {}
        self._has_pending = asyncio.Event()
        self.on_purge: ApplyPurge | None = None
        self.caught_up = asyncio.Event()

    def publish(self, event: EndpointStateChanged) -> None:
        """Publish a change of an endpoint's state, unless it concerns this instance only."""
        if event.state not in SUBJECTS:
            return
        message = StateMessage(self._instance, event.group, event.endpoint, event.state)
        if event.state in ENDINGS:
            self._in_force.pop(message.subject, None)
            self._pending[message.subject] = _Pending(message, 0.0)
        else:
            for_s = DRAIN_S if event.state == "drained" else event.for_s or 0.0
            new = _Pending(message, monotonic() + for_s)
            before = self._in_force.get(message.subject, new)
            longest = max(new, before, key=lambda pending: pending.until)
            self._pending[message.subject] = self._in_force[message.subject] = longest
        self._has_pending.set()

    def publish_purge(self, group: str | None, stored_before: float) -> None:
        """Publish that answers are to be removed, of a group or of all."""
        message = StateMessage(self._instance, group or "", "", "purged", stored_before)
        pending = _Pending(message, monotonic() + PURGE_S)
        self._pending[message.subject] = self._in_force[message.subject] = pending
        self._has_pending.set()

    async def run_publisher(self) -> None:
        """Publish what is pending, until cancelled."""
        while True:
            await self._has_pending.wait()
            self._has_pending.clear()
            while self._pending:
                subject, pending = next(iter(self._pending.items()))
                try:
                    async with patience(connected=False):
                        await self._send(pending)
                except (RedisError, OSError, TimeoutError):
                    await asyncio.sleep(RETRY_S)
                    continue
                if self._pending.get(subject) is pending:  # not replaced meanwhile
                    del self._pending[subject]

    async def run_subscriber(self) -> None:
        """Apply the messages of other instances, until cancelled."""
        while True:
            try:
                await self._subscribe()
            except (RedisError, OSError, TimeoutError):
                await asyncio.sleep(RETRY_S)

    async def _subscribe(self) -> None:
        """Apply messages until the connection fails. Raises what it fails with."""
        async with self._client.pubsub() as channel:
            async with patience(connected=False):
                await channel.subscribe(self._channel)
                kept = await self._recall_script.run(self._client, [self._channel], [])
            for text in kept:
                self._apply(text)
            self._publish_again()
            self.caught_up.set()
            received_at = monotonic()
            while True:
                message = await channel.get_message(timeout=SILENCE_S)
                if message is not None:
                    received_at = monotonic()
                    if message["type"] == "message":
                        self._apply(message["data"])
                elif monotonic() - received_at > GIVE_UP_S:
                    raise TimeoutError
                else:
                    await channel.ping()

    async def _send(self, pending: _Pending) -> None:
        message, is_ending = pending.message, pending.message.state in ENDINGS
        left_ms = round((pending.until - monotonic()) * 1000)
        if left_ms <= 0 and not is_ending:
            return
        subject = msgspec.json.encode(message.subject).decode()
        text = msgspec.json.encode(message).decode()
        for_ms = 0 if is_ending else left_ms
        await self._publish_script.run(self._client, [self._channel], [subject, text, for_ms])

    def _publish_again(self) -> None:
        """Publish everything in force again: the server may have come back empty."""
        now = monotonic()
        self._in_force = {
            subject: pending for subject, pending in self._in_force.items() if pending.until > now
        }
        self._pending = self._in_force | self._pending
        if self._pending:
            self._has_pending.set()

    def _apply(self, received: bytes) -> None:
        ms, _, text = received.partition(b" ")
        try:
            message, for_s = msgspec.json.decode(text, type=StateMessage), int(ms) / 1000.0
        except (msgspec.DecodeError, ValueError):
            return  # of another version, or of another program
        if message.by == self._instance or message.state not in SUBJECTS:
            return
        if message.state == "purged":
            if self.on_purge is not None:
                self.on_purge(message.group or None, message.stored_before)
            return
        if message.state in ENDINGS:
            self._in_force.pop(message.subject, None)
        change = EndpointChange(message.state)
        self._apply_state(message.group, message.endpoint, change, for_s or None, monotonic())
