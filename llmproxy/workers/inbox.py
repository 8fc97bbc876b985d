"""The supervisor's events as bytes in one pipe: signals, and workers that accept calls."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from math import inf
from types import FrameType

STOPPING = (signal.SIGTERM, signal.SIGINT)
HANDLED = (*STOPPING, signal.SIGHUP, signal.SIGCHLD)
ACCEPTING = 128  # and above: worker 0, 1, ... accepts calls. Below: the number of a signal


class Inbox:
    """Receives signals while it is entered. Owns the pipe and the signal handlers of this
    process."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def __enter__(self) -> Inbox:
        self._before = {number: signal.signal(number, _note) for number in HANDLED}
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)  # a blocked SIGHUP may be pending
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._read)
        os.close(self._write)

    def wait(self, longest_s: float) -> bytes:
        """Return the events as soon as there are any; empty if `longest_s` passes without one."""
        select.select([self._read], [], [], None if longest_s == inf else max(0.0, longest_s))
        with contextlib.suppress(BlockingIOError):
            return os.read(self._read, 4096)
        return b""

    def report_accepting(self, number: int) -> None:
        """In a worker: report that worker `number` accepts calls."""
        os.write(self._write, bytes([ACCEPTING + number]))


def _note(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the byte in the pipe is enough, but Python writes it only if there is a
    handler."""
