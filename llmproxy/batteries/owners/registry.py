"""The owners of ids, in memory and in a store that other and later instances read.

A new id is in memory at once; a background task writes it to the store. An id that is not in memory
is looked up in the store when a call names it. No call fails because the store is missing, slow or
broken: then only the memory counts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from itertools import islice
from time import monotonic
from typing import Protocol

import msgspec

from llmproxy.batteries.owners.accounts import Owner

MAX_IN_MEMORY = 200_000
FORGOTTEN_AT_ONCE = MAX_IN_MEMORY // 20
MAX_PENDING = 50_000
MAX_MISSING = 20_000
MISSING_S = 5.0  # for so long, what the store did not have is not looked up again
READ_S = 0.5
WRITE_S = 5.0
BATCH = 500
PAUSE_S = 2.0
FLUSH_S = 2.0
PROBE = "?"  # an id that does not exist
# What another instance has just noted may not be in the store yet: look again after these.
LOOK_AGAIN_S = (0.05, 0.2)

logger = logging.getLogger("llmproxy")


class StoreFailed(Exception):
    """The store cannot be used now. The message says why, and what to do."""


class OwnerStore(Protocol):
    """Where owners are kept, by id. An id that is there already keeps its owner."""

    async def read(self, ids: Collection[str]) -> dict[str, bytes]:
        """Return the values of those ids that are there. Raises StoreFailed."""

    async def write(self, values: Mapping[str, bytes]) -> None:
        """Add values. Raises StoreFailed."""

    async def close(self) -> None:
        """Release what it has open."""


class Registry:
    """The owners by id. The memory belongs to the process and survives a reload.

    `store`: None = memory only. `shared`: other processes write to the store, too. `pause_s`: after
    a failure of the store.
    """

    def __init__(
        self,
        memory: dict[str, Owner],
        store: OwnerStore | None = None,
        *,
        shared: bool = False,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._memory = memory
        self._store = store
        self._shared = shared
        self._pause_s = pause_s
        self._pending: dict[str, Owner] = {}
        self._filled = asyncio.Event()
        self._missing: dict[str, float] = {}
        self._failing = False

    def __bool__(self) -> bool:
        """Whether anything may be known."""
        return bool(self._memory) or self._store is not None

    # ---- noting

    def note(self, ids: Iterable[str], owner: Owner) -> None:
        """Note who keeps these. What is known already keeps its owner."""
        for id in ids:
            if id in self._memory:
                continue
            self._put(id, owner)
            self._missing.pop(id, None)
            if self._store is not None and len(self._pending) < MAX_PENDING:
                self._pending[id] = owner
                self._filled.set()

    def _put(self, id: str, owner: Owner) -> None:
        self._memory[id] = owner
        if len(self._memory) > MAX_IN_MEMORY:
            # The oldest; many at once, since a dict finds its first entry by a walk past those
            # that were removed.
            for oldest in list(islice(self._memory, FORGOTTEN_AT_ONCE)):
                del self._memory[oldest]

    # ---- finding

    def known(self, ids: Iterable[str]) -> dict[str, Owner]:
        """Return the owners of those ids that are in memory."""
        memory, found = self._memory, {}
        for id in ids:
            owner = memory.get(id)
            if owner is not None:
                found[id] = owner
                if len(memory) > MAX_IN_MEMORY // 2:  # what is used stays longest
                    memory[id] = memory.pop(id)
        return found

    async def find(self, ids: Collection[str], *, certain: bool = False) -> dict[str, Owner]:
        """Return the owners of those ids that are known.

        `certain`: a miss would fail the call, so what another instance has just noted is waited
        for.
        """
        found = self.known(ids)
        if self._store is None or len(found) == len(ids):
            return found
        found |= await self._read(ids, found)
        if certain and self._shared:
            for pause_s in LOOK_AGAIN_S:
                if found:
                    break
                await asyncio.sleep(pause_s)
                self._missing.clear()
                found |= await self._read(ids, found)
        return found

    async def _read(self, ids: Collection[str], found: Mapping[str, Owner]) -> dict[str, Owner]:
        now = monotonic()
        wanted = [id for id in ids if id not in found and self._missing.get(id, 0.0) <= now]
        if not wanted or self._store is None or self._failing:
            return {}
        try:
            async with asyncio.timeout(READ_S):
                values = await self._store.read(wanted)
        except (StoreFailed, TimeoutError) as error:
            self._report(error)
            return {}
        more = {id: owner for id, value in values.items() if (owner := _decoded(value))}
        for id, owner in more.items():
            self._put(id, owner)
        if len(self._missing) > MAX_MISSING:
            self._missing.clear()
        self._missing |= {id: now + MISSING_S for id in wanted if id not in more}
        return more

    # ---- the store

    async def keep_writing(self) -> None:
        """Write what was noted, until cancelled."""
        while True:
            await self._filled.wait()
            await self._write_pending()
            if self._failing:
                await asyncio.sleep(self._pause_s)

    async def close(self) -> None:
        """Write what is left, and close the store."""
        if self._store is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                while self._pending and not self._failing:
                    await self._write_pending()
        await self._store.close()

    async def _write_pending(self) -> None:
        batch = dict(list(self._pending.items())[:BATCH])
        values = {id: msgspec.msgpack.encode(owner) for id, owner in batch.items()}
        if self._store is None:
            return
        try:
            async with asyncio.timeout(WRITE_S):
                if values:
                    await self._store.write(values)
                else:
                    await self._store.read([PROBE])
        except (StoreFailed, TimeoutError) as error:
            self._report(error)
            return
        if self._failing:
            self._failing = False
            logger.info("The store of owners of ids works again.")
        for id in batch:
            self._pending.pop(id, None)
        if not self._pending:
            self._filled.clear()

    def _report(self, error: Exception) -> None:
        """Say once that the store fails; until it works again, calls do not read it."""
        if not self._failing:
            why = str(error) or "it does not answer in time."
            logger.warning(
                "Which account keeps which file, batch or response is remembered in memory only: "
                "%s",
                why,
            )
        self._failing = True
        self._filled.set()  # the writer finds out when it works again


def _decoded(value: bytes) -> Owner | None:
    try:
        return msgspec.msgpack.decode(value, type=Owner)
    except msgspec.DecodeError:  # of another version
        return None
