"""Break the database under a proxy that serves: what its calls notice, and which rows are lost.

    python bench/store_outages.py [--quick] [--only postgresql | sqlite] [--rate 100]

A real `llmproxy` answers a steady load over loopback, a third of it streams, in front of a
simulated vendor. Meanwhile PostgreSQL is shut down, hangs (SIGSTOP), is killed, has a full disk,
and is replaced by a database that is restored from a backup; SQLite has a full disk. Between these
everything is well, so that p99 can be compared and its noise be seen. At the end the ids of all
calls are looked for in the database.

Prints a table, and exits with 1 if a call failed or a row is lost or there twice. Takes 5 minutes
(--quick: one); needs `make setup` and root, because it mounts small disks (tmpfs).
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from broken_databases import DATABASE, OLD, RESTORED, PostgresServer, small_disk, until
from processes import BenchError, Started, free_port

Action = Callable[[], object]
WELL = "well"
IDS = "SELECT coalesce(id, '') FROM calls"
SUM = "SELECT coalesce(sum(calls), 0) FROM spend WHERE period = 'day'"
CONFIG = """
model_groups:
- model_group: bench
  models:
  - name: vendor
    params: {{base_url: "http://127.0.0.1:{vendor}/v1", api_key: sk-bench}}
    price: {{input: 1.0, output: 4.0}}
general_settings: {{database_url: "{url}", drain_delay_s: 0, drain_timeout_s: 5}}
"""
PROGRAM = str(Path(sys.executable).with_name("llmproxy"))


@dataclass(frozen=True)
class Call:
    """One call: when it was due, how long it took from then on, its id, what went wrong."""

    due: float
    ms: float
    id: str
    wrong: str


@dataclass
class Phase:
    """A part of the run. `told_at`, `back_at`: when /health said that the database is away, and
    that it is back; `caught_up_at`: when all that had waited was written. All in Unix time."""

    name: str
    began_at: float
    ended_at: float = 0.0
    told_at: float = 0.0
    mended_at: float = 0.0
    back_at: float = 0.0
    caught_up_at: float = 0.0
    why: str = ""
    calls: list[Call] = field(default_factory=list)

    @property
    def p99_ms(self) -> float:
        return quantiles([call.ms for call in self.calls], n=100)[98]


@dataclass(frozen=True)
class Pace:
    """How long everything lasts, in seconds."""

    warm: float
    well: float
    outage: float  # from the moment that it is told


class Watched:
    """A proxy and its load. `phases` is what was done to its database."""

    def __init__(self, url: str, work: Path, rate: float, stack: ExitStack) -> None:
        vendor, self._port = free_port(), free_port()
        self.calls_per_s = rate
        self.config, self._calls = work / "config.yaml", work / "calls"
        self.config.write_text(CONFIG.format(vendor=vendor, url=url))
        self.phases: list[Phase] = []
        command = [PROGRAM, "serve", "--config", str(self.config), "--port", str(self._port)]
        self._proxy = stack.enter_context(Started("llmproxy", command, core=1, log=work / "log"))
        until(lambda: self.health() is not None, "the proxy to listen")
        program = str(Path(__file__).with_name("steady_load.py"))
        command = [sys.executable, program, str(vendor), str(self._port), str(rate)]
        self._load = stack.enter_context(
            Started("load", command, core=0, log=work / "load-log", stdout=self._calls)
        )

    def health(self) -> dict[str, object] | None:
        """Return what /health says of the database; None = it does not answer."""
        self._proxy.check_alive()
        try:
            status, text = self._get("/health")
        except OSError:
            return None
        return json.loads(text)["database"] if status == 200 else None

    def during(self, name: str, action: Action) -> None:
        """Do something to the database that nobody should notice."""
        phase = Phase(name, time.time())
        action()
        self._ends(phase)

    def is_up(self) -> bool | None:
        return bool(view["connected"]) if (view := self.health()) else None

    def waiting(self) -> int:
        view = self.health() or {"queued": 1, "spooled": 0}
        return int(str(view["queued"])) + int(str(view["spooled"]))

    def be_well(self, seconds: float, name: str = WELL) -> None:
        """Let calls go on for a while."""
        self.during(name, lambda: time.sleep(seconds))

    def outage(self, name: str, seconds: float, fault: Action, mend: Action) -> None:
        """Break the database, wait until /health says so and then a while, mend the database, and
        wait until all that has waited is written."""
        phase = Phase(name, time.time())
        fault()
        phase.told_at = until(lambda: self.is_up() is False, f"'{name}' in /health")
        phase.why = str((self.health() or {}).get("why"))
        self._check_metric(0)
        time.sleep(seconds)
        mend()
        phase.mended_at = time.time()
        phase.back_at = until(lambda: self.is_up() is True, f"the end of '{name}' in /health")
        self._check_metric(1)
        few = self.calls_per_s * 3
        phase.caught_up_at = until(lambda: self.waiting() < few, "what has waited to be written")
        self._ends(phase)

    def finish(self) -> list[Call]:
        """End the load, wait until all is written; return the calls."""
        os.kill(self._load.pid, signal.SIGTERM)
        os.waitid(os.P_PID, self._load.pid, os.WEXITED | os.WNOWAIT)
        until(lambda: self.waiting() == 0, "all rows to be written")
        self._proxy.close()
        lines = self._calls.read_text().splitlines()
        fields = (line.split(" ", 3) for line in lines)
        calls = [Call(float(due), float(ms), id, wrong) for due, ms, id, wrong in fields]
        for phase in self.phases:
            phase.calls = [call for call in calls if phase.began_at <= call.due < phase.ended_at]
        return calls

    def _ends(self, phase: Phase) -> None:
        phase.ended_at = time.time()
        self.phases.append(phase)
        print(f"  {phase.name}: {phase.ended_at - phase.began_at:.0f} s", file=sys.stderr)

    def _check_metric(self, value: int) -> None:
        if f"\nllmproxy_database_up {value}" not in self._get("/metrics")[1]:
            raise BenchError(f"llmproxy_database_up is not {value} when /health says so.")

    def _get(self, path: str) -> tuple[int, str]:
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()


@dataclass(frozen=True)
class Found:
    """What is in the database at the end. `rows`: in it, and in one that it has replaced;
    `uncounted`: rows that its sums do not have."""

    calls: int
    rows: int
    lost: int
    doubled: int
    uncounted: int


def on_postgresql(pace: Pace, rate: float, work: Path, stack: ExitStack) -> tuple[Watched, Found]:
    disk = stack.enter_context(small_disk(work / "disk", 300))
    server = PostgresServer(disk.folder / "postgresql")
    stack.callback(server.close)
    server.sql(f"CREATE DATABASE {DATABASE}")
    os.environ["XDG_STATE_HOME"] = str(work)  # of the spool
    watched = Watched(server.url(DATABASE), work, rate, stack)
    watched.be_well(pace.warm, "warm-up")
    faults: list[tuple[str, Action, Action]] = [
        ("stopped", server.stop, server.start),
        ("hung", server.hang, server.go_on),
        ("killed", server.kill, server.start),
        ("disk full", disk.fill, lambda: (disk.free(), server.start())),
    ]
    for name, fault, mend in faults:
        watched.be_well(pace.well)
        watched.outage(name, pace.outage, fault, mend)
    watched.be_well(pace.well)
    file = work / "backup"
    watched.during("backed up", lambda: back_up(watched, file, server))
    restored: list[str] = []
    watched.during("restored beside", lambda: restored.extend(restore(server, file)))
    watched.outage(
        "restored",
        pace.outage,
        lambda: rename(server, DATABASE, OLD),
        lambda: rename(server, RESTORED, DATABASE),
    )
    watched.be_well(pace.well)
    calls = watched.finish()
    now, before = (Counter(server.sql(IDS, database=name)) for name in (DATABASE, OLD))
    in_sums = int(server.sql(SUM, database=DATABASE)[0])
    return watched, compare(calls, now, in_sums, before - Counter(restored))


def on_sqlite(pace: Pace, rate: float, work: Path, stack: ExitStack) -> tuple[Watched, Found]:
    disk = stack.enter_context(small_disk(work / "disk", 100))
    file = disk.folder / "llmproxy.sqlite"
    watched = Watched(str(file), work, rate, stack)
    watched.be_well(pace.warm, "warm-up")
    watched.be_well(pace.well)
    watched.outage("disk full", pace.outage, disk.fill, disk.free)
    watched.be_well(pace.well)
    calls = watched.finish()
    with closing(sqlite3.connect(file)) as connection:
        now = Counter(id for (id,) in connection.execute(IDS))
        in_sums = connection.execute(SUM).fetchone()[0]
    return watched, compare(calls, now, in_sums)


def compare(
    calls: list[Call], now: Counter[str], in_sums: int, before: Counter[str] | None = None
) -> Found:
    """`now`: the ids in the database; `before`: those in the one that it has replaced, without
    those that the backup had."""
    made, rows = Counter(call.id for call in calls), now + (before or Counter())
    return Found(
        len(calls),
        rows.total(),
        lost=(made - rows).total(),
        doubled=(rows - made).total(),
        uncounted=abs(now.total() - in_sums),
    )


def back_up(watched: Watched, file: Path, server: PostgresServer) -> None:
    """As an operator does. The wheel's pg_dump comes first: an older one refuses its server."""
    path = f"{server.programs}:{os.environ.get('PATH', '')}"
    command = ["nice", PROGRAM, "db", "backup", str(file), "--config", str(watched.config)]
    done = subprocess.run(
        command, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchError(f"llmproxy db backup failed: {done.stdout}{done.stderr}")


def restore(server: PostgresServer, file: Path) -> list[str]:
    """Fill a new database from the backup, and return the ids in it."""
    server.sql(f"CREATE DATABASE {RESTORED}")
    server.run("pg_restore", "-d", server.url(RESTORED), str(file))
    return server.sql(IDS, database=RESTORED)


def rename(server: PostgresServer, old: str, new: str) -> None:
    """Give a database another name. Connections to it are ended; new ones would come at once."""
    server.sql(
        f"ALTER DATABASE {old} ALLOW_CONNECTIONS false",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{old}'",
        f"ALTER DATABASE {old} RENAME TO {new}",
        f"ALTER DATABASE {new} ALLOW_CONNECTIONS true",
    )


def report(name: str, watched: Watched, found: Found) -> bool:
    """Print the table of one database; return whether all is as it must be."""
    usual = [phase.p99_ms for phase in watched.phases if phase.name == WELL]
    well = median(usual)
    print(f"\n{name}: p99 when all is well {min(usual):.2f} to {max(usual):.2f} ms")
    print(
        f"{'phase':<16}{'s':>5}{'calls':>7}{'failed':>8}{'p50 ms':>8}{'p99 ms':>8}{'+ ms':>8}",
        end="",
    )
    print(f"{'told after s':>14}{'back after s':>14}{'written after s':>17}")
    failed = 0
    for phase in watched.phases:
        wrong = [call for call in phase.calls if call.wrong != "-"]
        failed += len(wrong)
        p50, p99 = median(call.ms for call in phase.calls), phase.p99_ms
        print(
            f"{phase.name:<16}{phase.ended_at - phase.began_at:>5.0f}{len(phase.calls):>7}"
            f"{len(wrong):>8}{p50:>8.2f}{p99:>8.2f}{p99 - well:>+8.2f}",
            end="",
        )
        if phase.told_at:
            told, mended = phase.told_at - phase.began_at, phase.mended_at
            back, caught_up = phase.back_at - mended, phase.caught_up_at - mended
            print(f"{told:>14.1f}{back:>14.1f}{caught_up:>17.1f}", end="")
        print()
        for call in wrong[:3]:
            print(f"  failed: {call.wrong}")
    for phase in watched.phases:
        if phase.why:
            print(f"  {phase.name}: {phase.why}")
    print(
        f"{found.calls} calls, {failed} failed; {found.rows} rows, {found.lost} lost, "
        f"{found.doubled} doubled, {found.uncounted} not in the sums"
    )
    return not (failed or found.lost or found.doubled or found.uncounted)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a minute, for looking")
    parser.add_argument("--only", choices=tuple(DATABASES))
    parser.add_argument("--rate", type=float, default=100.0, help="calls a second")
    options = parser.parse_args()
    pace = Pace(2, 3, 1) if options.quick else Pace(5, 14, 14)
    good = True
    for name, run in DATABASES.items():
        if options.only not in (None, name):
            continue
        with tempfile.TemporaryDirectory(prefix="outages-") as folder, ExitStack() as stack:
            Path(folder).chmod(0o755)  # PostgreSQL runs as another user
            good &= report(name, *run(pace, options.rate, Path(folder), stack))
    return 0 if good else 1


DATABASES = {"postgresql": on_postgresql, "sqlite": on_sqlite}
if __name__ == "__main__":
    sys.exit(main())
