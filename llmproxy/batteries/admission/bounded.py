"""A bound on the calls in flight, and a short queue in front of it.

A proxy that accepts more than it can carry slows all calls down until they time out. Beyond the
queue, calls are refused at once; those that an SDK is already retrying are refused first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic

from llmproxy.calls import Call
from llmproxy.config import GeneralSettings
from llmproxy.errors import Overload
from llmproxy.record import CallRecord
from llmproxy.routing import Group

MAX_QUEUED_S = 5.0
RETRY_AFTER_S = 1.0


class BoundedAdmission:
    """Owns the count of calls in flight and the queue in front of it."""

    __slots__ = ("_max_in_flight", "_max_queued", "_queue", "in_flight")

    def __init__(self) -> None:
        self._queue: deque[asyncio.Future[None]] = deque()
        self.in_flight = self._max_in_flight = self._max_queued = 0

    def limit_to(self, settings: GeneralSettings) -> None:
        """Replace the bounds, for queued calls, too."""
        self._max_in_flight = settings.max_in_flight
        self._max_queued = settings.max_queued
        while self._queue and self.in_flight < self._max_in_flight:
            self.in_flight += 1
            self.leave()

    def admit(self, call: Call, _group: Group, record: CallRecord) -> Permit:
        """`async with` it: one permit to be in flight."""
        return Permit(self, call, record)

    def entered_at_once(self) -> bool:
        """Take a permit if one is free."""
        if self.in_flight >= self._max_in_flight:
            return False
        self.in_flight += 1
        return True

    async def enter_later(self, call: Call) -> None:
        """Wait for a permit. Raises Overload if none is free in time."""
        queued = len(self._queue)
        if queued >= self._max_queued or (2 * queued >= self._max_queued and _is_retry(call)):
            raise Overload(
                f"The proxy is full: {self.in_flight} calls in flight, {queued} waiting. "
                "Raise general_settings.max_in_flight or add an instance.",
                retry_after_s=RETRY_AFTER_S,
            )
        await self._wait_in_queue(call)

    async def _wait_in_queue(self, call: Call) -> None:
        permit = asyncio.get_running_loop().create_future()
        self._queue.append(permit)
        try:
            async with asyncio.timeout_at(min(monotonic() + MAX_QUEUED_S, call.deadline_at)):
                await permit
        except BaseException as error:
            if permit.done() and not permit.cancelled():
                self.leave()  # the permit was given just as the call went
            elif permit in self._queue:
                self._queue.remove(permit)
            if isinstance(error, TimeoutError):
                raise Overload(
                    f"No call in flight ended within {MAX_QUEUED_S:g} s.",
                    retry_after_s=RETRY_AFTER_S,
                ) from None
            raise

    def leave(self) -> None:
        """Pass the permit on to the longest waiting call, or free it."""
        while self._queue:
            permit = self._queue.popleft()
            if not permit.done():
                permit.set_result(None)
                return
        self.in_flight -= 1


class Permit:
    """One call's permit."""

    __slots__ = ("_admission", "_call", "_record")

    def __init__(self, admission: BoundedAdmission, call: Call, record: CallRecord) -> None:
        self._admission = admission
        self._call = call
        self._record = record

    async def __aenter__(self) -> None:
        if not self._admission.entered_at_once():
            began_at = monotonic()
            await self._admission.enter_later(self._call)
            self._record.waited_s += monotonic() - began_at

    async def __aexit__(self, *_: object) -> None:
        self._admission.leave()


def _is_retry(call: Call) -> bool:
    return any(name == b"x-stainless-retry-count" and value != b"0" for name, value in call.headers)
