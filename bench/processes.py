"""Processes of the benchmark: each pinned to a core, watched through /proc, ended by its own id.

A `Started` owns one process and its children (nginx has a master and a worker). It never touches
a process that it did not start: everything runs in a session of its own, which ends as a whole.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PROC = Path("/proc")
TICK_US = 1_000_000 / os.sysconf("SC_CLK_TCK")
GRACE_S = 1.0  # between SIGTERM and SIGKILL; a draining proxy would wait much longer


class BenchError(Exception):
    """The benchmark cannot go on; the text says what was expected, found and to be done."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of a process tree in MB (10^6 bytes); `pss` counts shared pages once."""

    rss: float
    pss: float


class Started:
    """One running process tree. Close it (`with`) and nothing of it is left."""

    def __init__(
        self,
        name: str,
        command: list[str],
        *,
        core: int | str,
        log: Path,
        stdout: Path | None = None,
    ) -> None:
        """Start `command` on `core`. stderr goes to `log`, stdout to `stdout` or to nowhere."""
        self.name = name
        self.log = log
        with (
            log.open("wb") as errors,
            (stdout or Path(os.devnull)).open("wb") as output,
        ):
            self._process = _spawn(["taskset", "-c", str(core), *command], output, errors)
        self.pid = self._process.pid

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check_alive(self) -> None:
        """Raise BenchError with the end of its log if the process has ended by itself."""
        if (code := self._process.poll()) is not None:
            end = self.log.read_text(errors="replace").strip()[-2000:] or "(empty)"
            raise BenchError(f"{self.name} ended by itself with exit code {code}:\n{end}")

    def cpu_us(self) -> float:
        """CPU microseconds (user and system) that the process tree has used so far."""
        return sum(_cpu_us(pid) for pid in self._tree())

    def serving_us(self) -> float:
        """CPU microseconds of the first thread alone, which serves the calls."""
        return _thread_us(PROC / str(self.pid) / "task" / str(self.pid) / "schedstat")

    def memory(self) -> Memory:
        fields = [_rollup(pid) for pid in self._tree()]
        return Memory(
            rss=sum(field["Rss"] for field in fields) * 1024 / 1e6,
            pss=sum(field["Pss"] for field in fields) * 1024 / 1e6,
        )

    def close(self) -> None:
        """End the tree: politely, then at once. Its session's id is the pid that we started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is None or number == signal.SIGKILL:
                try:
                    os.killpg(self.pid, number)
                except ProcessLookupError:
                    break
            try:
                self._process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                continue

    def _tree(self) -> list[int]:
        children: dict[int, list[int]] = {}
        for stat in PROC.glob("[0-9]*/stat"):
            if fields := _stat(stat):
                children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
        tree = [self.pid]
        for pid in tree:  # grows while it is walked
            tree += children.get(pid, [])
        return tree


def free_port() -> int:
    """A free TCP port on the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def missing_tools() -> list[str]:
    """What to install before the benchmark can run; empty when everything is there."""
    packages = {"nginx": "nginx", "wrk": "wrk", "taskset": "util-linux"}
    return [package for tool, package in packages.items() if not find_tool(tool)]


def find_tool(name: str) -> str | None:
    """Its path. nginx lies in /usr/sbin, which is not on every user's PATH."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def busy_share(before: list[int], after: list[int]) -> float:
    """Share (0 to 1) of all cores' time between two `cpu_times()` that was not idle."""
    spent = [late - early for early, late in zip(before, after, strict=True)]
    idle = spent[3] + spent[4]  # idle and iowait, proc(5)
    return 1 - idle / sum(spent) if sum(spent) else 0.0


def stolen_share(before: list[int], after: list[int]) -> float:
    """Share (0 to 1) of the time between two `cpu_times()` that went to other virtual machines."""
    spent = [late - early for early, late in zip(before, after, strict=True)]
    return spent[7] / sum(spent) if sum(spent) else 0.0


def cpu_times() -> list[int]:
    """The machine's first line of /proc/stat: ticks by kind, all cores together."""
    first = (PROC / "stat").read_text().split("\n", 1)[0]
    return [int(field) for field in first.split()[1:9]]


def _spawn(command: list[str], output: IO[bytes], errors: IO[bytes]) -> subprocess.Popen[bytes]:
    # A proxy variable of the shell must not send loopback traffic somewhere else.
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        env=environment,
        start_new_session=True,
    )


def _cpu_us(pid: int) -> float:
    """From schedstat (nanoseconds) where the kernel has it, else utime + stime (10 ms steps).

    Both are the scheduler's own sum, and a stream test uses only some 0.2 s in all: steps of
    10 ms would be 5 % of it. Threads that have ended count in `stat` only, hence the maximum.
    """
    fields = _stat(PROC / str(pid) / "stat")
    ticks_us = (int(fields[11]) + int(fields[12])) * TICK_US if fields else 0.0
    exact_us = 0.0
    for schedstat in PROC.glob(f"{pid}/task/*/schedstat"):
        exact_us += _thread_us(schedstat)
    return max(ticks_us, exact_us)


def _thread_us(schedstat: Path) -> float:
    try:
        return int(schedstat.read_text().split()[0]) / 1000
    except (OSError, IndexError):  # the thread has just ended
        return 0.0


def _stat(path: Path) -> list[str]:
    """The fields after the command's name (which may hold blanks): state, ppid, ..."""
    try:
        return path.read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended
        return []


def _rollup(pid: int) -> dict[str, int]:
    """Sums over all mappings, in KiB: /proc/PID/smaps_rollup, Linux >= 4.14."""
    lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]
    return {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
