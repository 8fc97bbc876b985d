"""The shared view: what all instances dispatch to an account, and what they know of endpoints.

One task asks the shared windows for all leases at once, every few milliseconds while there is
something to ask. No call awaits it. If an answer is not back within a moment, every lease falls
back to this instance's part of the limits until it is; a server that fails is probed now and then.
Nothing is raised into a call, whatever the server does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from functools import partial
from time import monotonic

from redis.exceptions import RedisError

from llmproxy.events import EndpointStateChanged, Listener
from llmproxy.protocols import SharedStatus
from llmproxy.shared_state.address import OPERATION_S, Client, give_up_idle, in_words, patience
from llmproxy.shared_state.broadcast import ApplyPurge, StateBroadcast
from llmproxy.shared_state.quota import Lease, QuotaRequest
from llmproxy.shared_state.timer import WakeUpTimer
from llmproxy.shared_state.windows import WindowClient, WindowReplies

TICK_S = 0.02  # from one ask to the next, while there is something to ask
SOONEST_S = 0.005  # the same for a call that waits
ANSWER_WITHIN_S = 0.01  # then nobody relies on the answer any more
MAX_ASKS = 100  # of one tick: together they take some 3 ms, there and back
BEAT_S = 1.0  # each instance says that it is there, and counts the others
HOLD_S = 5.0  # a server that came back does not know yet who is there
FAILS = 5  # in a row; then it is left alone for longer
PAUSE_S, LONG_PAUSE_S = 0.1, 2.0
LOOK_AGAIN_S = 0.002

logger = logging.getLogger("llmproxy")

Sent = tuple[Lease, QuotaRequest]


class SharedState(Listener):
    """Made by `open_shared_state` only, which runs its jobs. A `Listener`: what happens here
    is told to the others. Owns what is known of the server; a Lease belongs to its Capacity.
    """

    def __init__(
        self,
        client: Client,
        windows: WindowClient,
        broadcast: StateBroadcast,
        *,
        secrets: Collection[str],
    ) -> None:
        self._client = client
        self._windows = windows
        self._broadcast = broadcast
        self._secrets = secrets
        self._leases: dict[str, Lease] = {}
        self._awake: dict[str, Lease] = {}
        self._on_grant: list[Callable[[], None]] = []
        self._timer = WakeUpTimer()
        self._instances = 1
        self._ticked_at = 0.0
        self._beat_at = 0.0
        self._fails = 0
        self._retry_at = 0.0
        self._hold_until = 0.0
        self._late: asyncio.TimerHandle | None = None
        self._why: str | None = "not connected yet"
        self._since = monotonic()
        self.tried = asyncio.Event()  # whether the server answers is known

    def add(self, key: str, lease: Lease) -> None:
        """From now on this lease asks the window that has this key on every instance. One that
        did so before keeps to this instance's part."""
        if (before := self._leases.get(key)) is not None:
            before.go_local()
        self._leases[key] = lease
        self._awake.pop(key, None)
        lease.on_work = partial(self._need, key, lease)
        lease.set_instances(self._instances)
        if self._why is None:
            lease.go_shared()
        if lease.has_work:
            self._need(key, lease)

    def has(self, key: str, lease: object) -> bool:
        """Whether it was added, and is still there."""
        return lease is not None and self._leases.get(key) is lease

    def keep_only(self, keys: Collection[str]) -> None:
        """Nobody dispatches to the other windows any more."""
        for key in [key for key in self._leases if key not in keys]:
            del self._leases[key]
            self._awake.pop(key, None)

    def on_grant(self, callback: Callable[[], None]) -> None:
        """Call it when something was granted, and when the view was lost or regained: calls that
        wait may have their turn."""
        self._on_grant.append(callback)

    def on_purge(self, forget: ApplyPurge) -> None:
        """Call it when another instance was told to forget answers."""
        self._broadcast.forget = forget

    def publish_purge(self, group: str | None, stored_before: float) -> None:
        """Let the others forget answers that were stored before a moment in Unix seconds."""
        self._broadcast.publish_purge(group, stored_before)

    def status(self, now: float) -> SharedStatus:
        """For the operator."""
        return SharedStatus(
            connected=self._why is None,
            instances=self._instances,
            why=self._why,
            since_s=max(0.0, now - self._since),
        )

    def endpoint_state_changed(self, event: EndpointStateChanged) -> None:
        """Tell the others."""
        self._broadcast.publish(event)

    async def keep_asking(self) -> None:
        """The job that asks. Ends only when it is cancelled."""
        while True:
            if self._fails:
                self._timer.schedule(self._retry_at)
            else:
                self._timer.schedule(self._ticked_at + TICK_S if self._awake else self._beat_at)
            await self._timer.wait()
            if not self._fails or await self._answers_again():
                await self._tick()
            self.tried.set()

    async def leave(self) -> None:
        """Say that this instance is going, if that can be said quickly."""
        if self._why is None:
            try:
                async with patience(connected=True):
                    await self._windows.leave()
            except (RedisError, OSError, TimeoutError):
                return  # the others will notice

    def _need(self, key: str, lease: Lease) -> None:
        if not self.has(key, lease):
            return  # its place in the config is another's, or nobody's
        self._awake[key] = lease
        if not self._fails:
            self._timer.schedule(self._ticked_at + SOONEST_S)

    async def _tick(self) -> None:
        """Ask for everybody who has something to ask."""
        now = self._ticked_at = monotonic()
        count = now >= self._beat_at
        asked = self._ask_all(now)
        if not asked and not count:
            return
        answers = None
        self._late = asyncio.get_running_loop().call_later(ANSWER_WITHIN_S, self._is_late, now)
        try:
            async with patience(connected=self._why is None):
                asks = [(key, ask) for key, (_, ask) in asked.items()]
                answers = await self._windows.exchange(asks, count=count)
        except (RedisError, OSError, TimeoutError) as error:
            await self._fail(error)
        finally:
            self._late.cancel()
            if answers is None:
                self._go_local()
                for lease, _ in asked.values():
                    lease.request_failed()
        if answers is not None:
            self._apply(asked, answers)

    def _ask_all(self, now: float) -> dict[str, Sent]:
        asked: dict[str, Sent] = {}
        for key, lease in list(self._awake.items()):
            if len(asked) == MAX_ASKS:
                self._timer.schedule(now + SOONEST_S)
                break
            del self._awake[key]
            ask = lease.next_request(now)
            if ask is not None:
                asked[key] = lease, ask
            if lease.has_work:
                self._awake[key] = lease  # behind those who have not asked yet
        return asked

    def _apply(self, asked: dict[str, Sent], answers: WindowReplies) -> None:
        now = monotonic()
        if self._fails:
            self._hold_until = now + HOLD_S
        if answers.instances is not None:
            self._beat_at = self._ticked_at + BEAT_S
            self._count(answers.instances, now)
        if self._why is not None:
            self._regain(asked, now)
        for (key, (lease, _)), grant in zip(asked.items(), answers.replies, strict=True):
            lease.receive(grant, now)
            if not self.has(key, lease):
                lease.go_local()
        if asked:
            self._call_those_who_wait()

    def _count(self, instances: int, now: float) -> None:
        if now < self._hold_until:
            instances = max(instances, self._instances)
        if instances != self._instances:
            self._instances = instances
            for lease in self._leases.values():
                lease.set_instances(instances)

    def _regain(self, asked: dict[str, Sent], now: float) -> None:
        """The server answers again. A lease that has asked something waits for its grant."""
        if self._fails:
            logger.warning(
                "The shared view is back after %.1f s; instances: %d.",
                now - self._since,
                self._instances,
            )
            self._fails = 0
        self._say(None)
        for key, lease in self._leases.items():
            if key not in asked:
                lease.go_shared()

    def _is_late(self, asked_at: float) -> None:
        """Nobody relies on the answer any more, until it is here."""
        if monotonic() - asked_at > ANSWER_WITHIN_S + LOOK_AGAIN_S:
            # We were busy ourselves, and the answer may be waiting: look once more.
            loop = asyncio.get_running_loop()
            self._late = loop.call_later(LOOK_AGAIN_S, self._go_local)
        else:
            self._go_local()

    def _go_local(self) -> None:
        if self._why is None:
            self._say(f"no answer within {ANSWER_WITHIN_S * 1000:.0f} ms")
        for lease in self._leases.values():
            lease.go_local()
        self._call_those_who_wait()

    async def _answers_again(self) -> bool:
        """Ask whether it is there, before it is told anything: a server that hangs would hear all
        of it later."""
        try:
            async with patience(connected=False):
                await self._windows.ping()
        except (RedisError, OSError, TimeoutError) as error:
            await self._fail(error)
            return False
        self._beat_at = 0.0
        for lease in self._leases.values():
            lease.verify_window()
        self._awake = {key: lease for key, lease in self._leases.items() if lease.has_work}
        return True

    async def _fail(self, error: Exception) -> None:
        """The server is gone, refuses, or hangs."""
        why = self._in_words(error)
        if self._fails == 0:
            logger.warning(
                "The shared view is lost: %s. Until it is back, each instance keeps to 1/%d of "
                "every limit.",
                why,
                self._instances,
            )
        self._fails += 1
        self._say(why)
        self._go_local()
        pause_s = LONG_PAUSE_S if self._fails >= FAILS else PAUSE_S
        self._retry_at = monotonic() + (pause_s if self._fails > 1 else 0.0)
        await give_up_idle(self._client)

    def _in_words(self, error: Exception) -> str:
        why = in_words(error, self._secrets).rstrip(".")
        return why or f"no answer within {OPERATION_S} s"

    def _say(self, why: str | None) -> None:
        if (why is None) != (self._why is None):
            self._since = monotonic()
        self._why = why

    def _call_those_who_wait(self) -> None:
        for callback in self._on_grant:
            callback()
