"""Fork workers, and let them detect that the supervisor is gone."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable

from llmproxy.workers.inbox import HANDLED


class Forked:
    """A child process, with the methods of subprocess.Popen that the supervisor needs."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, or minus the number of the signal that killed it; None if it
        runs."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def send_signal(self, number: int) -> None:
        """Send a signal. Does nothing if the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


class Lifeline:
    """A pipe without a writer but the supervisor: it closes when the supervisor ends, however it
    ends."""

    def __init__(self) -> None:
        self._watched, self._held = os.pipe()

    def watch(self) -> int:
        """In a worker: return a descriptor that becomes readable when the supervisor is gone."""
        os.close(self._held)
        return self._watched


def fork(run: Callable[[], int]) -> Forked:
    """Run a function in a child process; its return value is the exit status.

    In the child, signals have their default actions. The calling process must have no threads.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    # Without the mask, a signal in between would reach the child and be written to this inbox.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        pid = os.fork()
        if pid == 0:
            _run_and_exit(run, mask)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return Forked(pid)


def _run_and_exit(run: Callable[[], int], mask: Iterable[int]) -> None:
    """Run the function and exit. Never returns: the code after the fork is the parent's."""
    status = 1
    try:
        # Ctrl+C is sent to a whole process group; the supervisor receives it and passes it on.
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in HANDLED:
            signal.signal(number, signal.SIG_DFL)
        # SIGHUP stays blocked until the worker handles it.
        signal.pthread_sigmask(signal.SIG_SETMASK, {*mask, signal.SIGHUP})
        status = run()
    except BaseException:  # noqa: BLE001 - the last frame of a process
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
