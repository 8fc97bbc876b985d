"""The database: statements that are bounded in time, and a clear error if it is away.

Nothing here is on a call's path.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from llmproxy.batteries.masking import Secrets
from llmproxy.batteries.store.address import Address, identity_of
from llmproxy.batteries.store.connections import StoreConnections
from llmproxy.batteries.store.errors import StoreUnavailable
from llmproxy.batteries.store.plain import FileTransaction, Transaction
from llmproxy.batteries.store.remedies import doubt, reason, remedy
from llmproxy.batteries.store.schema import HEAD, look, make_in_file, prepare, upgrade

if TYPE_CHECKING:
    from sqlalchemy import Executable, Row
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

WITHIN_S = 10.0
UPGRADE_WITHIN_S = 60.0
READERS, POLLERS = 2, 1  # at once: a connection of the pool is left for who writes
READ_SHARE = 0.8  # of the time of a statement: a read of a file that takes longer is ended
T = TypeVar("T")


class Database:
    """Owns the connections, which are made when they are needed, and the tables' version.

    `within_s`: no statement takes longer. A server that does not answer is left to itself, and the
    next statement gets a new connection. A thread that hangs in a file cannot be ended: until it
    goes on, the file counts as away.
    """

    def __init__(self, address: Address, *, within_s: float = WITHIN_S) -> None:
        self.address = address
        self._within_s = within_s
        self._secrets = Secrets(address.passwords)
        self._connections: StoreConnections | None = None
        self._loaded = self._prepared = False
        self._connecting, self._preparing = asyncio.Lock(), asyncio.Lock()
        self._left_alone: set[asyncio.Future[Any]] = set()
        self._readers, self._pollers = asyncio.Semaphore(READERS), asyncio.Semaphore(POLLERS)

    @property
    def exists(self) -> bool:
        """Whether there is something to read: an SQLite file is made when something is written."""
        return self.address.file is None or self.address.file.exists()

    async def load(self) -> None:
        """Import SQLAlchemy, if nobody has: half a second, in a thread, of no statement's time."""
        if not self._loaded:
            await asyncio.to_thread(import_module, "llmproxy.batteries.store.engines")
            await asyncio.to_thread(import_module, "llmproxy.batteries.store.tables")
            self._loaded = True

    async def check(self, within_s: float | None = None) -> None:
        """See whether it can be used; make no file for that. Raises StoreUnavailable."""
        if why := await asyncio.to_thread(doubt, self.address):
            raise StoreUnavailable(why)
        if self.exists:
            await self._prepare(within_s)
            await self._bounded(self._version(), within_s)

    async def look(self) -> None:
        """See whether it can be used, and change nothing there. Raises StoreUnavailable."""
        await self.load()
        await self._bounded(self._looked_at())

    async def _looked_at(self) -> None:
        from llmproxy.batteries.store.engines import READS  # noqa: PLC0415

        engine = (await self._engine()).execution_options(**{READS: True})
        async with engine.connect() as connection:
            await connection.run_sync(look, self.address)

    async def fetch(self, statement: Executable, *, polls: bool = False) -> Sequence[Row[Any]]:
        """Return the rows of a statement that writes nothing. Raises StoreUnavailable.

        `polls`: it is brief and regular, and does not wait behind what people look up.
        """
        await self.load()
        await self._prepare()

        async def read() -> Sequence[Row[Any]]:
            from llmproxy.batteries.store.engines import READS  # noqa: PLC0415

            engine = (await self._engine()).execution_options(**{READS: True})
            async with engine.connect() as connection, self._ending(connection):
                return (await connection.execute(statement)).all()

        async with self._turn(self._pollers if polls else self._readers):
            return await self._bounded(read())

    async def counters(self) -> dict[str, int]:
        """Return the counters of changes by name, for who polls. Raises StoreUnavailable."""
        return dict(await self.read_plain("SELECT name, version FROM versions"))

    async def read_plain(self, text: str, *values: object) -> Sequence[Any]:
        """Return the rows of a brief statement in plain SQL that writes nothing; `?` in it are the
        values. Of a file, it is read without SQLAlchemy. Raises StoreUnavailable."""
        await self._prepare()

        async def read() -> Sequence[Any]:
            return await (await self._connected()).read(text, *values)

        async with self._turn(self._pollers):
            return await self._bounded(read())

    async def change_plain(
        self, work: Callable[[Transaction], Awaitable[T]], *, within_s: float | None = None
    ) -> T:
        """Do some work in one transaction in plain SQL, of a file without SQLAlchemy.

        Raises StoreUnavailable, what the driver or SQLAlchemy says of values, and what the work
        raises.
        """
        await self._prepare(within_s)

        async def write() -> T:
            async with (await self._to_write()).transaction() as transaction:
                return await work(transaction)

        return await self._bounded(write(), within_s)

    async def execute(self, *statements: Executable) -> None:
        """Execute statements in one transaction. Raises StoreUnavailable; IntegrityError if one
        breaks a rule of the tables, such as a unique name."""

        async def work(connection: AsyncConnection) -> None:
            for statement in statements:
                await connection.execute(statement)

        await self.change(work)

    async def change(
        self, work: Callable[[AsyncConnection], Awaitable[T]], *, within_s: float | None = None
    ) -> T:
        """Do some work in one transaction. Raises as `execute` does, and what the work raises."""
        await self.load()
        await self._prepare(within_s)

        async def write() -> T:
            async with (await (await self._to_write()).engine()).begin() as connection:
                return await work(connection)

        return await self._bounded(write(), within_s)

    async def upgrade(self) -> None:
        """Bring the tables to this program's version. Raises StoreUnavailable."""
        await self.load()

        async def work() -> None:
            async with (await self._engine()).begin() as connection:
                await connection.run_sync(upgrade, self.address)

        await self._bounded(work())

    async def close(self) -> None:
        """Close the connections."""
        connections, self._connections = self._connections, None
        if connections is not None:
            closing = asyncio.ensure_future(connections.close())
            await asyncio.wait({closing}, timeout=self._within_s)

    async def _connected(self) -> StoreConnections:
        async with self._connecting:
            if self._connections is None:
                self._connections = await asyncio.to_thread(self._connect)
            return self._connections

    async def _engine(self) -> AsyncEngine:
        return await (await self._connected()).engine()

    async def _prepare(self, within_s: float | None = None) -> None:
        """Make or upgrade the tables, unless they are this program's: once, in a time of its own.

        Raises StoreUnavailable.
        """
        if self.address.server is not None:
            await self.load()
        async with self._preparing:
            if self._prepared:
                return
            found = await self._bounded(self._version(), within_s)
            if found is None and self.address.file is not None:
                await self._bounded(self._make_in_file(), UPGRADE_WITHIN_S)
            elif found != HEAD:
                await self.load()
                if found is not None:
                    await asyncio.to_thread(import_module, "alembic.config")  # 0.3 s
                await self._bounded(self._make_tables(), UPGRADE_WITHIN_S)
            self._prepared = True

    async def _version(self) -> str | None:
        return await (await self._connected()).version()

    async def _make_in_file(self) -> None:
        async with (await self._connected()).transaction() as transaction:
            assert isinstance(transaction, FileTransaction)  # noqa: S101 - for the type checker
            await transaction.in_thread(make_in_file)

    async def _make_tables(self) -> None:
        async with (await self._engine()).begin() as connection:
            await connection.run_sync(prepare, self.address)

    def _connect(self) -> StoreConnections:
        """Runs in a thread: it may touch the disk."""
        return StoreConnections(self.address, within_s=self._within_s)

    async def _to_write(self) -> StoreConnections:
        """Return the connections. Raises StoreUnavailable if the file is gone: what is written to
        it then, nobody finds."""
        connections = await self._connected()
        if await asyncio.to_thread(identity_of, self.address) != connections.opened:
            raise StoreUnavailable(
                f"{self.address} was deleted or replaced while this process uses it. Start the "
                "proxy again (stop it before you replace the file the next time)."
            )
        return connections

    @asynccontextmanager
    async def _turn(self, turns: asyncio.Semaphore) -> AsyncIterator[None]:
        """Wait until few others read. Raises StoreUnavailable."""
        try:
            async with asyncio.timeout(self._within_s):
                await turns.acquire()
        except TimeoutError:
            raise StoreUnavailable(
                f"{self.address} is busy: other reads take longer than "
                f"{self._within_s:g} s. Ask for a shorter time or for less."
            ) from None
        try:
            yield
        finally:
            turns.release()

    @asynccontextmanager
    async def _ending(self, connection: AsyncConnection) -> AsyncIterator[None]:
        """End what takes too long in a file: it would count as one whose disk hangs."""
        if self.address.file is None:
            yield
            return
        raw: Any = (await connection.get_raw_connection()).driver_connection

        async def end() -> None:
            await asyncio.sleep(self._within_s * READ_SHARE)
            await raw.interrupt()

        ending = asyncio.ensure_future(end())
        try:
            yield
        finally:
            ending.cancel()

    async def _bounded(self, work: Coroutine[Any, Any, T], within_s: float | None = None) -> T:
        within_s = within_s or self._within_s
        if self.address.file is not None and self._left_alone:
            work.close()
            raise StoreUnavailable(
                f"{self.address} does not answer: look at its disk, which hangs."
            )
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task}, timeout=within_s)
        except asyncio.CancelledError:
            await self._give_up(task, within_s)
            raise
        if not task.done():
            self._leave_alone(task)
            where = "its disk" if self.address.server is None else "the server and the network"
            raise StoreUnavailable(
                f"{self.address} does not answer within {within_s:g} s: look at {where}."
            )
        try:
            return task.result()
        except Exception as error:
            if (unavailable := self._unavailable(error)) is None:
                raise
            raise unavailable from error

    async def _give_up(self, task: asyncio.Future[Any], within_s: float) -> None:
        """End a task whose caller was cancelled."""
        if self.address.server is not None:
            task.cancel()
            return
        try:  # a transaction that is cut off could keep the file locked, so it may end
            await asyncio.wait({task}, timeout=within_s)
        finally:
            if not task.done():
                self._leave_alone(task)
            elif not task.cancelled():
                task.exception()  # nobody waits for it any more

    def _leave_alone(self, task: asyncio.Future[Any]) -> None:
        """Go on without a task that hangs: even closing its connection may take for ever."""
        self._left_alone.add(task)
        task.add_done_callback(self._left_alone.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        if self.address.server is None or self._connections is None:
            return
        task.cancel()
        connections, self._connections = self._connections, None
        self._connecting = asyncio.Lock()
        closing = asyncio.ensure_future(connections.close())
        self._left_alone.add(closing)
        closing.add_done_callback(self._left_alone.discard)

    def _unavailable(self, error: Exception) -> StoreUnavailable | None:
        """Return what an error says of the database; None = it says something of the statement."""
        if isinstance(error, StoreUnavailable) or _is_of_values(error):
            return None
        # asyncpg's own errors, when it connects, have no base class that is here without it.
        modules = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
        if not (modules & {"asyncpg", "sqlite3", "sqlalchemy"} or isinstance(error, OSError)):
            return None
        why = self._secrets.mask_text(reason(error))
        return StoreUnavailable(
            f"{self.address} cannot be used: {why}. {remedy(self.address, error)}"
        )


def _is_of_values(error: Exception) -> bool:
    """Return whether a driver's own error, or one that SQLAlchemy has wrapped, says that a database
    cannot keep some values."""
    if type(error).__name__ in ("DataError", "IntegrityError"):  # SQLAlchemy may not be imported
        return True
    error = getattr(error, "orig", None) or error
    # PostgreSQL: class 22, data exceptions; 23, rules of a table; 54, what is too long.
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str):
        return state[:2] in ("22", "23", "54")
    too_big = isinstance(error, sqlite3.DataError | sqlite3.IntegrityError)
    return too_big or str(error) == "integer overflow"  # SQLite: of a sum
