"""A value that expires, such as a token: renewed before that, in a thread, once for all calls.

The libraries of the clouds block, so they never run on the event loop. While a value is valid, no
call waits for the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from time import time
from typing import Generic, NamedTuple, TypeVar

from llmproxy.errors import CredentialRejected

T = TypeVar("T")

RETRY_S = 5.0  # after a renewal that failed while the old value is still valid
PATIENCE_S = 10.0  # how long a call without a valid value waits
MAX_WHY_CHARS = 200


class Lasting(NamedTuple, Generic[T]):
    """A value, the time from which it is renewed, and when it expires. Both in Unix seconds."""

    value: T
    renew_at: float
    expires_at: float


class Renewed(Generic[T]):
    """The current value of one source.

    `what`: for errors, such as `Entra token`. `fetch` blocks; it may raise anything.
    """

    def __init__(
        self, what: str, fetch: Callable[[], Lasting[T]], wall: Callable[[], float] = time
    ) -> None:
        self._what = what
        self._fetch = fetch
        self._wall = wall
        self._current: Lasting[T] | None = None
        self._renewal: asyncio.Future[Lasting[T]] | None = None
        self._not_before = 0.0

    async def get(self) -> T:
        """Return the value. Raises CredentialRejected if there is no valid one."""
        now, current = self._wall(), self._current
        if current is None or current.expires_at <= now:
            current = await self._fetched()
        elif current.renew_at <= now and self._not_before <= now:
            self._renew()
        return current.value

    async def _fetched(self) -> Lasting[T]:
        try:
            return await asyncio.wait_for(asyncio.shield(self._renew()), PATIENCE_S)
        except CredentialRejected as error:
            # Each call gets an error of its own, because it completes it.
            raise CredentialRejected(error.message, sent=False) from error.__cause__
        except TimeoutError:
            why = f"no {self._what}: no answer for {PATIENCE_S:g} s"
            raise CredentialRejected(why, sent=False) from None

    def _renew(self) -> asyncio.Future[Lasting[T]]:
        """Return the renewal that is under way, or begin one."""
        loop = asyncio.get_running_loop()
        renewal = self._renewal
        if renewal is None or renewal.done() or renewal.get_loop() is not loop:
            renewal = self._renewal = loop.create_future()
            renewal.add_done_callback(self._note)
            # A daemon: a cloud that does not answer must not delay the end of the process.
            work, name = (loop, renewal), f"llmproxy-{self._what.replace(' ', '-')}"
            Thread(target=self._work, args=work, name=name, daemon=True).start()
        return renewal

    def _work(self, loop: asyncio.AbstractEventLoop, renewal: asyncio.Future[Lasting[T]]) -> None:
        try:
            result: Lasting[T] | CredentialRejected = self._fetch()
        except CredentialRejected as error:
            result = error
        except Exception as error:  # noqa: BLE001 - whatever the cloud's library raises
            why = (str(error).splitlines() or [type(error).__name__])[0][:MAX_WHY_CHARS]
            result = CredentialRejected(f"no {self._what}: {why}", sent=False)
            result.__cause__ = error
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(_finish, renewal, result)

    def _note(self, renewal: asyncio.Future[Lasting[T]]) -> None:
        if renewal.cancelled():
            return
        if renewal.exception() is None:
            self._current = renewal.result()
        else:
            self._not_before = self._wall() + RETRY_S


def _finish(renewal: asyncio.Future[Lasting[T]], result: Lasting[T] | CredentialRejected) -> None:
    if renewal.cancelled():
        return
    if isinstance(result, CredentialRejected):
        renewal.set_exception(result)
    else:
        renewal.set_result(result)
