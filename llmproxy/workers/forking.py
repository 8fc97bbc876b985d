"""Processes forked from this one, and how they notice that it is gone."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable

from llmproxy.workers.inbox import HANDLED


class Forked:
    """A process forked from this one, with the methods of subprocess.Popen that are needed."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: int | None = None

    def poll(self) -> int | None:
        """Its exit status if it has ended; the negative number of the signal that killed it."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def send_signal(self, number: int) -> None:
        """Nothing happens if it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


class Lifeline:
    """A pipe that nobody writes to: it ends with the supervisor, however that ends."""

    def __init__(self) -> None:
        self._watched, self._held = os.pipe()

    def watch(self) -> int:
        """In a worker: a descriptor that becomes readable when the supervisor is gone."""
        os.close(self._held)
        return self._watched


def fork(run: Callable[[], int]) -> Forked:
    """Run a function in a process of its own, whose exit status it returns.

    Signals do there what they do by default. The calling process must have no threads.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    # A signal in between would be heard by the new process, and told to this one's inbox.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        pid = os.fork()
        if pid == 0:
            _run_and_exit(run, mask)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return Forked(pid)


def _run_and_exit(run: Callable[[], int], mask: Iterable[int]) -> None:
    """Never returns: what stands behind the fork is the other process's to do."""
    status = 1
    try:
        # Ctrl+C reaches a whole group; only the supervisor is to hear it, and passes it on.
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in HANDLED:
            signal.signal(number, signal.SIG_DFL)
        # A SIGHUP is kept until the worker hears it.
        signal.pthread_sigmask(signal.SIG_SETMASK, {*mask, signal.SIGHUP})
        status = run()
    except BaseException:  # noqa: BLE001 - the last frame of a process
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
