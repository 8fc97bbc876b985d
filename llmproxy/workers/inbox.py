"""What a supervisor waits for, as bytes in one pipe: signals, and workers that accept calls."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from math import inf
from types import FrameType

STOPPING = (signal.SIGTERM, signal.SIGINT)
HANDLED = (*STOPPING, signal.SIGHUP, signal.SIGCHLD)
ACCEPTING = 128  # and above: worker 0, 1, ... accepts. Below: a signal's number


class Inbox:
    """Hears signals while it is entered. Owns the pipe, and this process's handling of signals."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def __enter__(self) -> Inbox:
        self._before = {number: signal.signal(number, _note) for number in HANDLED}
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)  # a SIGHUP may have been kept until now
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._read)
        os.close(self._write)

    def wait(self, longest_s: float) -> bytes:
        """What has come, as soon as something has; nothing if the time is over before."""
        select.select([self._read], [], [], None if longest_s == inf else max(0.0, longest_s))
        with contextlib.suppress(BlockingIOError):
            return os.read(self._read, 4096)
        return b""

    def report_accepting(self, number: int) -> None:
        """In worker 0, 1, ...: it accepts calls."""
        os.write(self._write, bytes([ACCEPTING + number]))


def _note(_number: int, _frame: FrameType | None) -> None:
    """The byte in the pipe is all that is needed; but without a handler there is none."""
