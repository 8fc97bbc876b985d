"""The attempts of one call that run at the same time: the first, and hedges beside it.

The first runs in the call's own task, so that a call without a hedge costs no task. A hedge runs in
a task of its own. If the hedge is accepted first, it interrupts the call's task as asyncio.timeout
does: it cancels the task, and the task takes this cancellation back. A cancellation that has
another cause, such as a client that left, is passed on.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic

from llmproxy.batteries.hedging.promptness import LOOK_AGAIN_S
from llmproxy.calls import Accepted
from llmproxy.errors import UpstreamError
from llmproxy.routing.actions import Try
from llmproxy.routing.group import Entrant

logger = logging.getLogger("llmproxy")

Winner = tuple[Try, Accepted]  # the attempt that was accepted first, and its answer

LOOK_EVERY_S = 0.05  # a hedge begins at most this much too late


class Alarms:
    """Wakes races when a hedge is due. One timer of the event loop serves all of them.

    Most calls end before a hedge is due. A timer for each would cost more than the rest of hedging.
    """

    __slots__ = ("_due", "_is_set")

    def __init__(self) -> None:
        self._due: dict[Race, float] = {}
        self._is_set = False

    def set(self, race: Race, at: float) -> None:
        """Wake a race at `at`, of `time.monotonic`, or up to LOOK_EVERY_S later."""
        self._due[race] = at
        if not self._is_set:
            self._is_set = True
            asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._look)

    def clear(self, race: Race) -> None:
        """Do not wake a race any more."""
        self._due.pop(race, None)

    def _look(self) -> None:
        now = monotonic()
        due = [race for race, at in self._due.items() if at <= now]
        self._is_set = len(due) < len(self._due)
        if self._is_set:
            asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._look)
        for race in due:
            del self._due[race]
            race.begin_hedge()


class Race:
    """One attempt in the call's own task, and its hedges.

    `_won`: the hedge that was accepted. `_cancels`: how often the call's task had been cancelled
    before. `_interrupted`: a hedge has cancelled the call's task, which has not been taken back.
    `_hedge_ended`: made when the first attempt has failed; each hedge that ends sets it.
    """

    __slots__ = (
        "_alarms",
        "_cancels",
        "_entrant",
        "_hedge_ended",
        "_interrupted",
        "_task",
        "_tasks",
        "_won",
    )

    def __init__(self, entrant: Entrant, alarms: Alarms, hedge_at: float) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker
        self._entrant = entrant
        self._alarms = alarms
        self._task = task
        self._cancels = task.cancelling()
        self._interrupted = False
        self._tasks: list[asyncio.Task[None]] = []
        self._won: Winner | None = None
        self._hedge_ended: asyncio.Event | None = None
        alarms.set(self, hedge_at)

    async def run(self, first: Try) -> Accepted | None:
        """Return the answer that was accepted first; None if all attempts have failed.

        When it returns, the other attempts have ended and their connections are closed.
        """
        winner: Winner | None = None
        try:
            winner = first, await self._entrant.make(first)
        except UpstreamError as failure:
            self._entrant.failed(first, failure)
            if self._tasks:
                winner = await self._rest()
        except asyncio.CancelledError:
            if not self._take_back():
                raise  # the client left
            winner = self._won
        finally:
            self._alarms.clear(self)
            if self._tasks:
                await self._stop(winner)
        if winner is None:
            return None
        self._entrant.won(winner[0])
        return winner[1]

    async def _rest(self) -> Winner | None:
        """Wait for the hedges, because the first attempt has failed; None if they fail, too."""
        self._take_back()
        self._hedge_ended = asyncio.Event()
        self._watch()
        while self._won is None and not all(task.done() for task in self._tasks):
            self._hedge_ended.clear()
            await self._hedge_ended.wait()
        if self._won is None:
            for task in self._tasks:
                task.result()  # raises an exception that is a bug
        return self._won

    async def _stop(self, winner: Winner | None) -> None:
        """End the hedges that have not won, and close their connections."""
        self._take_back()
        for task in self._tasks:
            task.cancel()
        try:
            await asyncio.wait(self._tasks)
        except asyncio.CancelledError:
            if winner is not None:
                winner[1].response.close()
            raise
        finally:
            if self._won is not None and self._won is not winner:
                self._won[1].response.close()
        for task in self._tasks:
            if not task.cancelled() and (bug := task.exception()) is not None:
                logger.error("A hedge ended with a bug.", exc_info=bug)

    # ---- hedges

    def begin_hedge(self) -> None:
        """Begin a hedge if one may begin now."""
        hedge = self._entrant.next_hedge()
        if hedge is None:
            self._alarms.set(self, monotonic() + LOOK_AGAIN_S)
        else:
            task = self._task.get_loop().create_task(self._run_hedge(hedge))
            task.add_done_callback(self._note_end)
            self._tasks.append(task)

    async def _run_hedge(self, hedge: Try) -> None:
        try:
            accepted = await self._entrant.make(hedge)
        except UpstreamError as failure:
            self._entrant.failed(hedge, failure)
            self._watch()
            return
        if self._won is not None:
            accepted.response.close()
            return
        self._won = hedge, accepted
        if self._hedge_ended is None:
            self._interrupted = True
            self._task.cancel()

    def _note_end(self, task: asyncio.Task[None]) -> None:
        del task
        if self._hedge_ended is not None:
            self._hedge_ended.set()

    def _watch(self) -> None:
        """Set the alarm for another hedge, after one of two attempts has failed."""
        hedge_in_s = self._entrant.hedge_in_s()
        if hedge_in_s is not None:
            self._alarms.set(self, monotonic() + hedge_in_s)

    def _take_back(self) -> bool:
        """Take back the cancellation by a hedge; return whether it was the only one."""
        if not self._interrupted:
            return False
        self._interrupted = False
        return self._task.uncancel() <= self._cancels
