"""Keeps the leases of this process in step with the shared windows, in the background.

One task sends the requests of all leases in one round trip:

    every 20 ms      while some lease has something to request or to report
    after 5 ms       if a call waits for it
    once a second    otherwise, to say that this instance is alive and to count the others

No call awaits any of this, and nothing is raised into a call. If a reply is not back within 10 ms,
every lease keeps to this instance's part of its limits until it is. A server that fails is probed
after 0.1 s, and after five failures in a row every 2 s.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from functools import partial
from math import inf
from time import monotonic

from redis.exceptions import RedisError

from llmproxy.batteries.masking import Secrets
from llmproxy.batteries.shared_state.address import (
    OPERATION_S,
    Client,
    give_up_idle,
    in_words,
    patience,
)
from llmproxy.batteries.shared_state.quota import Lease, QuotaRequest
from llmproxy.batteries.shared_state.windows import WindowClient, WindowReplies
from llmproxy.protocols import SharedStatus

TICK_S = 0.02
SOONEST_S = 0.005
ALIVE_S = 1.0
REPLY_WITHIN_S = 0.01
# A server on this machine, at a unix socket, is never far away: if it is late, the processors are
# busy with other work. (If it dies, its socket closes at once.) Then calls wait for the reply.
LOCAL_REPLY_WITHIN_S, LOCAL_OPERATION_S = 1.0, 2.0
# If this process was busy itself, the reply may be waiting to be read: look once more.
LOOK_AGAIN_S = 0.002
MAX_REQUESTS = 100  # in one round trip: together they take some 3 ms
# A server that came back empty has not yet heard of every instance: for so long their number
# may only grow.
REMEMBER_INSTANCES_S = 5.0
MANY_FAILURES = 5
PAUSE_S, LONG_PAUSE_S = 0.1, 2.0

logger = logging.getLogger("llmproxy")

Requests = dict[str, tuple[Lease, QuotaRequest]]


class WakeUpTimer:
    """Wakes one task at the earliest of the times that were scheduled. Owned by that task."""

    __slots__ = ("_at", "_handle", "_waiting")

    def __init__(self) -> None:
        self._at = inf
        self._waiting: asyncio.Future[None] | None = None
        self._handle: asyncio.TimerHandle | None = None

    def schedule(self, at: float) -> None:
        """Wake the task at this time (`time.monotonic`), unless it wakes earlier anyway."""
        if at < self._at:
            self._at = at
            if self._waiting is not None:
                self._start()

    async def wait(self) -> None:
        """Wait until the earliest scheduled time, then forget all of them."""
        self._waiting = asyncio.get_running_loop().create_future()
        self._start()
        try:
            await self._waiting
        finally:
            self._waiting = None
            self._stop()
            self._at = inf

    def _start(self) -> None:
        self._stop()
        if self._at < inf:
            loop = asyncio.get_running_loop()
            self._handle = loop.call_later(max(0.0, self._at - monotonic()), self._wake)

    def _stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class ServerHealth:
    """Whether the server answers, since when, and when to try again. Owned by a QuotaSync.

    `failures`: in a row. `why`: why it is not connected; None = it is. A late reply is no failure.
    `reply_within_s`: a later reply is late. `operation_s`: an operation is abandoned after it.
    """

    def __init__(self, secrets: Secrets, *, on_this_machine: bool = False) -> None:
        self._secrets = secrets
        self.reply_within_s = LOCAL_REPLY_WITHIN_S if on_this_machine else REPLY_WITHIN_S
        self.operation_s = LOCAL_OPERATION_S if on_this_machine else OPERATION_S
        self.failures = 0
        self.retry_at = 0.0
        self.why: str | None = "not connected yet"
        self.since = monotonic()

    @property
    def connected(self) -> bool:
        """Whether the last request was answered in time."""
        return self.why is None

    def failed(self, error: Exception, instances: int) -> None:
        """Note that the server is gone, refuses or hangs."""
        why = in_words(error, self._secrets).rstrip(".") or f"no answer within {self.operation_s} s"
        if self.failures == 0:
            logger.warning(
                "The shared view is lost: %s. Until it is back, each instance keeps to 1/%d of "
                "every limit.",
                why,
                instances,
            )
        self.failures += 1
        self._change(why)
        pause_s = LONG_PAUSE_S if self.failures >= MANY_FAILURES else PAUSE_S
        self.retry_at = monotonic() + (pause_s if self.failures > 1 else 0.0)

    def late(self) -> None:
        """Note that a reply has not come in time."""
        if self.connected:
            self._change(f"no answer within {self.reply_within_s * 1000:.0f} ms")

    def answered(self, instances: int) -> None:
        """Note that the server answers."""
        if self.failures:
            logger.warning(
                "The shared view is back after %.1f s; instances: %d.",
                monotonic() - self.since,
                instances,
            )
            self.failures = 0
        self._change(None)

    def _change(self, why: str | None) -> None:
        if (why is None) != self.connected:
            self.since = monotonic()
        self.why = why


class LeaseTable:
    """The leases of this process by key, and those of them that have work to do, in turn."""

    def __init__(self) -> None:
        self._by_key: dict[str, Lease] = {}
        self.working: dict[str, Lease] = {}

    def add(self, key: str, lease: Lease) -> None:
        """Add a lease. The one that had its key keeps to this instance's part from now on."""
        if (replaced := self._by_key.get(key)) is not None:
            replaced.go_local()
        self._by_key[key] = lease
        self.working.pop(key, None)

    def has(self, key: str, lease: object) -> bool:
        """Return whether this lease was added under this key and is still there."""
        return lease is not None and self._by_key.get(key) is lease

    def keep_only(self, keys: Collection[str]) -> None:
        """Drop the leases with other keys."""
        for key in [key for key in self._by_key if key not in keys]:
            del self._by_key[key]
            self.working.pop(key, None)

    def next_requests(self, now: float) -> Requests:
        """Return the next requests, at most 100. Leases that still have work go to the end."""
        requests: Requests = {}
        for key, lease in list(self.working.items()):
            if len(requests) == MAX_REQUESTS:
                break
            del self.working[key]
            request = lease.next_request(now)
            if request is not None:
                requests[key] = lease, request
            if lease.has_work:
                self.working[key] = lease
        return requests

    def go_local(self) -> None:
        """Let every lease keep to this instance's part."""
        for lease in self._by_key.values():
            lease.go_local()

    def go_shared(self, except_for: Collection[str]) -> None:
        """Let the leases rely on what is granted, except those that wait for a reply."""
        for key, lease in self._by_key.items():
            if key not in except_for:
                lease.go_shared()

    def set_instances(self, instances: int) -> None:
        """Pass the number of instances that share the limits to every lease."""
        for lease in self._by_key.values():
            lease.set_instances(instances)

    def verify_windows(self) -> None:
        """Make every lease check that its window still exists."""
        for lease in self._by_key.values():
            lease.verify_window()
        self.working = {key: lease for key, lease in self._by_key.items() if lease.has_work}


class QuotaSync:
    """The background task and its state. Owned by a SharedState.

    `tried`: set when it is known whether the server answers. `on_grant`: called when something was
    granted, and when the view was lost or regained, since a waiting call may be dispatched then.
    """

    def __init__(
        self,
        client: Client,
        windows: WindowClient,
        *,
        secrets: Secrets,
        on_this_machine: bool = False,
    ) -> None:
        self._client = client
        self._windows = windows
        self._leases = LeaseTable()
        self._server = ServerHealth(secrets, on_this_machine=on_this_machine)
        self._timer = WakeUpTimer()
        self._instances = 1
        self._remember_until = 0.0
        self._ticked_at = 0.0
        self._alive_at = 0.0  # when to say again that this instance is alive
        self._late: asyncio.TimerHandle | None = None
        self.on_grant: list[Callable[[], None]] = []
        self.tried = asyncio.Event()

    def has(self, key: str, lease: object) -> bool:
        """Return whether this lease was added under this key and is still there."""
        return self._leases.has(key, lease)

    def add(self, key: str, lease: Lease) -> None:
        """Send the requests of this lease to the window that has this key on every instance."""
        self._leases.add(key, lease)
        lease.on_work = partial(self._has_work, key, lease)
        lease.set_instances(self._instances)
        if self._server.connected:
            lease.go_shared()
        if lease.has_work:
            self._has_work(key, lease)

    def keep_only(self, keys: Collection[str]) -> None:
        """Drop the leases with other keys: nothing is dispatched to them any more."""
        self._leases.keep_only(keys)

    def status(self, now: float) -> SharedStatus:
        """Return the state of the connection."""
        server = self._server
        since_s = max(0.0, now - server.since)
        return SharedStatus(server.connected, self._instances, server.why, since_s)

    async def run(self) -> None:
        """Run until cancelled."""
        server, timer = self._server, self._timer
        while True:
            if server.failures:
                timer.schedule(server.retry_at)
            else:
                timer.schedule(self._ticked_at + TICK_S if self._leases.working else self._alive_at)
            await timer.wait()
            if not server.failures or await self._probe():
                await self._tick()
            self.tried.set()

    async def leave(self) -> None:
        """Say that this instance is going, if the server answers at once."""
        if self._server.connected:
            try:
                async with patience(connected=True):
                    await self._windows.leave()
            except (RedisError, OSError, TimeoutError):
                return  # the others will notice

    def _has_work(self, key: str, lease: Lease) -> None:
        if not self._leases.has(key, lease):
            return  # it was replaced, or its endpoint is gone from the config
        self._leases.working[key] = lease
        if not self._server.failures:
            self._timer.schedule(self._ticked_at + SOONEST_S)

    async def _tick(self) -> None:
        """Send the requests of all leases, and apply the replies."""
        now = self._ticked_at = monotonic()
        count = now >= self._alive_at
        requests = self._leases.next_requests(now)
        if len(requests) == MAX_REQUESTS:
            self._timer.schedule(now + SOONEST_S)
        if not requests and not count:
            return
        replies = None
        loop = asyncio.get_running_loop()
        self._late = loop.call_later(self._server.reply_within_s, self._check_late, now)
        try:
            async with patience(
                connected=self._server.connected, operation_s=self._server.operation_s
            ):
                replies = await self._windows.exchange(
                    [(key, request) for key, (_, request) in requests.items()], count=count
                )
        except (RedisError, OSError, TimeoutError) as error:
            await self._fail(error)
        finally:
            self._late.cancel()
            if replies is None:  # also if this task was cancelled
                self._go_local()
                for lease, _ in requests.values():
                    lease.request_failed()
        if replies is not None:
            self._apply(requests, replies)

    def _apply(self, requests: Requests, replies: WindowReplies) -> None:
        now = monotonic()
        if self._server.failures:
            self._remember_until = now + REMEMBER_INSTANCES_S
        if replies.instances is not None:
            self._alive_at = self._ticked_at + ALIVE_S
            self._set_instances(replies.instances, now)
        if not self._server.connected:
            self._server.answered(self._instances)
            self._leases.go_shared(except_for=requests)
        for (key, (lease, _)), reply in zip(requests.items(), replies.replies, strict=True):
            lease.receive(reply, now)
            if not self._leases.has(key, lease):
                lease.go_local()
        if requests:
            self._call_back()

    def _set_instances(self, instances: int, now: float) -> None:
        if now < self._remember_until:
            instances = max(instances, self._instances)
        if instances != self._instances:
            self._instances = instances
            self._leases.set_instances(instances)

    def _check_late(self, sent_at: float) -> None:
        """Stop relying on the server until its reply is here."""
        if monotonic() - sent_at > self._server.reply_within_s + LOOK_AGAIN_S:
            loop = asyncio.get_running_loop()
            self._late = loop.call_later(LOOK_AGAIN_S, self._go_local)
        else:
            self._go_local()

    def _go_local(self) -> None:
        self._server.late()
        self._leases.go_local()
        self._call_back()

    async def _probe(self) -> bool:
        """Return whether the server answers again, before anything is sent that counts: a server
        that hangs would apply all of it later."""
        try:
            async with patience(connected=False, operation_s=self._server.operation_s):
                await self._windows.ping()
        except (RedisError, OSError, TimeoutError) as error:
            await self._fail(error)
            return False
        self._alive_at = 0.0
        self._leases.verify_windows()
        return True

    async def _fail(self, error: Exception) -> None:
        self._server.failed(error, self._instances)
        self._go_local()
        await give_up_idle(self._client)

    def _call_back(self) -> None:
        for callback in self.on_grant:
            callback()
