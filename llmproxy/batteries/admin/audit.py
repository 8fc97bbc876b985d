"""The audit: who changed what, from where, and how it was before and after.

Rows are written behind, so no action waits for the database. Without a store, each is a log line.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from time import time
from typing import TYPE_CHECKING, Any

import msgspec

from llmproxy.batteries.admin.people import Person
from llmproxy.batteries.admin.process_family import MARK_BYTES, RELOADS
from llmproxy.batteries.background import background

if TYPE_CHECKING:
    from fastapi import Request

    from llmproxy.batteries.reload import Reloader
    from llmproxy.batteries.store import Store

MAX_ROWS = 10_000
BATCH = 200
RETRY_S = 2.0
SAME_RELOAD_S = 10.0  # workers reload one after the other
REFUSED = "sign_in.refused"
Content = Mapping[str, Any] | None

logger = logging.getLogger("llmproxy")


class Action(msgspec.Struct, frozen=True):
    """A row of the audit. `before` and `after` are JSON; `team`: whose members may read it."""

    at: float
    who: str | None
    role: str | None
    address: str | None
    action: str
    subject: str | None
    team: str | None
    before: str | None
    after: str | None


class AuditTrail:
    """Writes the audit of one process. `store`: None = not installed."""

    def __init__(self, store: Store | None, *, wall: Callable[[], float] = time) -> None:
        self._store = store
        self._wall = wall
        self._rows: deque[Action] = deque()
        self._some = asyncio.Event()
        self._at_once = BATCH  # 1 after a failure, until all that waited is written

    @asynccontextmanager
    async def written(self) -> AsyncIterator[None]:
        """Write rows until the block ends, and then those that are left: log what cannot be."""
        async with background(self._write_for_ever):
            yield
        while self._rows and await self._write():
            pass
        for row in self._rows:
            _log(row)

    def note(
        self,
        person: Person | None,
        address: str | None,
        action: str,
        subject: str | None = None,
        *,
        before: Content = None,
        after: Content = None,
    ) -> None:
        """Note an action. Waits for nothing."""
        team = (after or {}).get("team") or (before or {}).get("team")
        row = Action(
            at=self._wall(),
            who=None if person is None else _kept(person.name),
            role=None if person is None else person.role.value,
            address=address,
            action=action,
            subject=None if subject is None else _kept(subject),
            team=None if team is None else _kept(team),
            before=_json(before),
            after=_json(after),
        )
        if self._store is None or self._store.database is None or len(self._rows) >= MAX_ROWS:
            if action != REFUSED:  # a warning says so already
                _log(row)
            return
        self._rows.append(row)
        self._some.set()

    def note_reloads(self, reloader: Reloader) -> None:
        """Note each reload from now on that nobody asked `/admin` for."""

        def noted() -> None:
            last = reloader.last
            if last is None or not (last.changes or last.error):
                return
            said = f"{reloader.file.seen}{last.changes}{last.error}"
            if not self._note_once(sha256(said.encode("utf-8", "surrogatepass")).digest()):
                return
            if last.cause != "request":
                after = {"changes": last.changes, "error": last.error}
                self.note(None, None, "config.reload", last.cause, after=after)

        reloader.on_reload.append(noted)

    def _note_once(self, mark: bytes) -> bool:
        """Note that this worker notes something; return whether none has just noted the same."""
        period = int(self._wall() // SAME_RELOAD_S)
        now, before = (
            sha256(mark + str(number).encode()).digest()[:MARK_BYTES]
            for number in (period, period - 1)
        )
        is_new = now not in RELOADS and before not in RELOADS
        RELOADS.add(now)
        return is_new

    async def _write_for_ever(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            while self._rows:
                if not await self._write():
                    await asyncio.sleep(RETRY_S)

    async def _write(self) -> bool:
        """Write some rows. Returns whether the database took them."""
        database = None if self._store is None else self._store.database
        if database is None:
            return False
        await database.load()  # by a thread: the tables import SQLAlchemy
        # Not installed everywhere.
        from llmproxy.batteries.store import StoreUnavailable  # noqa: PLC0415
        from llmproxy.batteries.store.tables import audit as table  # noqa: PLC0415

        rows = [msgspec.structs.asdict(row) for row in list(self._rows)[: self._at_once]]
        try:
            await database.execute(table.insert().values(rows))
        except StoreUnavailable as error:
            logger.warning("%d rows of the audit wait for the database: %s", len(self._rows), error)
            return False
        except Exception:  # a row that no database keeps would stop all that come after it
            if len(rows) > 1:
                self._at_once = 1
                return True
            logger.exception("A row of the audit cannot be kept; it follows here.")
            _log(self._rows[0])
        for _ in rows:
            self._rows.popleft()
        if not self._rows:
            self._at_once = BATCH
        return True


def audit(
    request: Request,
    action: str,
    subject: str | None = None,
    before: Content = None,
    after: Content = None,
) -> None:
    """Note what the person of a request did to a subject, such as `key.create`.

    `before` and `after` must hold no secret. Their `team` is whose members may read the row.
    """
    trail: AuditTrail = request.app.state.audit
    person = getattr(request.state, "person", None)
    trail.note(person, address_of(request), action, subject, before=before, after=after)


def address_of(request: Request) -> str | None:
    """Return the address that a request came from; of a proxy, if there is one in front."""
    return request.client.host if request.client else None


def _json(content: Content) -> str | None:
    return None if content is None else _kept(json.dumps(content, default=str, ensure_ascii=False))


def _kept(text: str) -> str:
    """Return a text that every database keeps: without NUL and lone surrogates."""
    return text.encode(errors="replace").decode().replace("\0", "\ufffd")


def _log(row: Action) -> None:
    logger.warning("Audit: %s", msgspec.json.encode(row).decode())
