"""Tells systemd how the service is: ready, reloading, stopping, alive (sd_notify(3)).

A notification is one datagram of `NAME=value` lines to the socket in NOTIFY_SOCKET. Without that
variable nothing is sent. With workers, the supervisor sends: systemd listens to the main process.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from math import inf
from time import CLOCK_MONOTONIC, clock_gettime_ns, monotonic

from llmproxy.batteries.background import background
from llmproxy.runtime import LiveConfig

__all__ = ["Systemd"]

LOOK_S = 0.2


class Systemd:
    """The service manager that has started this process, if there is one."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        self._stopping = False
        self._every_s = _watchdog_s(environ)
        self.alive_at = monotonic() if self._address and self._every_s < inf else inf

    def ready(self, status: str) -> None:
        """Tell that calls are accepted."""
        self._send("READY=1", f"STATUS={status}", f"MAINPID={os.getpid()}")

    def reloaded(self) -> None:
        """Tell that what a SIGHUP asked for is done."""
        microseconds = clock_gettime_ns(CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={microseconds}")
        self._send("READY=1")

    def stopping(self) -> None:
        """Tell that no new calls are wanted, while those under way finish."""
        if not self._stopping:
            self._stopping = True
            self._send("STOPPING=1", "STATUS=Finishing the calls under way")

    def alive(self, now: float) -> None:
        """Tell that the process works, if it is time: `alive_at` is when, of `time.monotonic`."""
        if now >= self.alive_at:
            self._send("WATCHDOG=1")
            self.alive_at = now + self._every_s

    @asynccontextmanager
    async def watch(
        self, live: LiveConfig, on_hangup: list[Callable[[], Awaitable[None]]] | None
    ) -> AsyncIterator[None]:
        """Tell what happens in a process that serves, until the block ends."""

        async def reloaded() -> None:
            self.reloaded()

        async def look() -> None:
            while True:
                self.alive(monotonic())
                if live.draining:
                    self.stopping()
                await asyncio.sleep(LOOK_S)

        if not self._address:
            yield
            return
        if on_hangup is not None:
            on_hangup.append(reloaded)
        async with background(look):
            yield
        self.stopping()  # if there was nothing to wait for

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        # A manager that is gone or busy must not hold up the service.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
            sending.setblocking(False)
            sending.sendto("\n".join(lines).encode(), self._address)


def _watchdog_s(environ: Mapping[str, str]) -> float:
    """Return half of what systemd waits for; infinite if it does not wait."""
    microseconds, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID")
    if not microseconds.isdecimal() or not int(microseconds) or pid not in (None, str(os.getpid())):
        return inf
    return int(microseconds) / 2e6
