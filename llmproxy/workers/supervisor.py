"""The supervisor: starts workers, replaces those that end, and passes signals on.

It waits for one event at a time. No call passes through it.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Sequence
from math import inf
from time import monotonic

from llmproxy.batteries.systemd import Systemd
from llmproxy.workers.inbox import ACCEPTING, STOPPING, Inbox
from llmproxy.workers.process_slot import Process, ProcessSlot, how_it_ended

logger = logging.getLogger("llmproxy")


class Supervisor:
    """Runs once. Owns the slots; `others` hold processes that the workers need.

    `reloads`: SIGHUP makes the workers read their config again; otherwise it stops them.
    `on_accepting` is called once, when all workers accept calls; `on_stopping` once, when a stop
    signal arrives. Workers that take longer than `patience_s` after it are killed.
    """

    def __init__(  # noqa: PLR0913 - whom it supervises, and whom it tells of what
        self,
        inbox: Inbox,
        workers: Sequence[ProcessSlot],
        *,
        others: Sequence[ProcessSlot],
        reloads: bool,
        on_accepting: Callable[[], None],
        on_stopping: Callable[[], None],
        patience_s: float,
        systemd: Systemd | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._inbox = inbox
        self._workers = workers
        self._slots = (*others, *workers)
        self._reloads = reloads
        self._on_accepting: Callable[[], None] | None = on_accepting
        self._on_stopping = on_stopping
        self._patience_s = patience_s
        self._clock = clock
        self._systemd = systemd or Systemd({})
        self._stopping = False
        self._kill_at = inf
        self._status = 0

    def run(self) -> int:
        """Run until a signal has stopped all workers or none can start; return the exit status."""
        # Start one worker first, so that an error common to all is reported once.
        self._workers[0].start_at = self._clock()
        while not self._stopping or self._living():
            self._systemd.alive(self._clock())
            self._fill_slots(self._clock())
            for byte in self._inbox.wait(self._next_moment() - self._clock()):
                self._handle(byte)
            self._collect_ended(self._clock())
            if self._clock() >= self._kill_at:
                self._kill()
        return self._status

    def _living(self) -> list[tuple[ProcessSlot, Process]]:
        return [(slot, slot.process) for slot in self._workers if slot.process is not None]

    def _next_moment(self) -> float:
        start_at = [] if self._stopping else [slot.start_at for slot in self._slots]
        return min([self._kill_at, self._systemd.alive_at, *start_at])

    def _fill_slots(self, now: float) -> None:
        for slot in self._slots:
            if slot.start_at > now or self._stopping:
                continue
            try:
                slot.fill(now)
            except OSError as error:
                logger.error("%s cannot be started: %s.", slot.name, error)
                if not self._can_serve_without(slot):
                    self._give_up(1)

    def _handle(self, byte: int) -> None:
        if byte >= ACCEPTING:
            self._note_accepting(self._workers[byte - ACCEPTING])
        elif byte in STOPPING:
            self._stop(byte)
        elif byte == signal.SIGHUP and self._reloads:
            self._signal_workers(byte)
            self._systemd.reloaded()
        elif byte == signal.SIGHUP:
            self._stop(signal.SIGTERM)

    def _note_accepting(self, slot: ProcessSlot) -> None:
        if slot.process is None:
            return  # it has ended in the meantime
        slot.is_accepting = True
        if self._on_accepting is None:
            logger.warning("%s accepts calls again, as process %d.", slot.name, slot.process.pid)
            return
        for other in self._workers:
            if other.process is None:
                other.start_at = min(other.start_at, self._clock())
        if all(worker.is_accepting for worker in self._workers):
            self._on_accepting()
            self._on_accepting = None

    def _stop(self, number: int) -> None:
        if not self._stopping:
            self._stopping = True
            self._kill_at = self._clock() + self._patience_s
            self._on_stopping()
        self._signal_workers(number)

    def _signal_workers(self, number: int) -> None:
        for _, process in self._living():
            process.send_signal(number)

    def _collect_ended(self, now: float) -> None:
        for slot in self._slots:
            process, was_accepting = slot.process, slot.is_accepting
            status = slot.clear(now)
            if process is None or status is None:
                continue
            how = f"{slot.name} (process {process.pid}) {how_it_ended(status)}"
            if self._stopping:
                self._log_end(slot, how, status)
            elif was_accepting or self._can_serve_without(slot):
                pause_s = slot.start_at - now
                when = f"in {pause_s:g} s" if pause_s else "at once"
                logger.error("%s. It is replaced %s.", how, when)
            else:
                logger.error("%s before it accepted a call, and no other worker does.", how)
                self._give_up(status)

    def _log_end(self, slot: ProcessSlot, how: str, status: int) -> None:
        """Log an exit during shutdown. A worker that had not finished starting is killed by the
        signal itself."""
        if slot in self._workers and status != 0 and -status not in STOPPING:
            logger.error("%s.", how)
            self._status = 1

    def _can_serve_without(self, slot: ProcessSlot) -> bool:
        return slot not in self._workers or any(worker.is_accepting for worker in self._workers)

    def _give_up(self, status: int) -> None:
        """Stop with an error status: no worker serves and none can start."""
        self._stop(signal.SIGTERM)
        self._status = status if status > 0 else 1

    def _kill(self) -> None:
        self._kill_at = inf
        for slot, process in self._living():
            logger.error("%s (process %d) takes too long.", slot.name, process.pid)
            process.send_signal(signal.SIGKILL)
