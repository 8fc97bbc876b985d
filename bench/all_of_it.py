"""All of it on: what prices, the store, keys, teams, budgets, alerts and labels cost a call.

Two proxies that take turns in one run, asked the same. The plain one has none of it. The other one
has the store in an SQLite file, a key that was made while it ran, of a team, four hard budgets, an
alert, tags and an end user on every call.
"""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Any

import load
from measure import CPU_AT, PACED_CONNECTIONS, PACED_RATE, Target, all_running, percentile
from processes import BenchError, Started

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PLAIN, ALL = "plain", "all of it on"
HEAD = "## All of it on"
LIMIT_US = 5.0
ROUNDS, BURST_S, PACED_S = 8, 3, 2.5
QUICK_ROUNDS = 2
TAKES_S = {True: 30, False: 120}  # by `--quick`
WRITTEN_WITHIN_S = 30.0
FACTS = ("CPU", "Python", "LLMProxy", "busy before the run")
LABELS: dict[str, object] = {"user": "user-1", "metadata": {"tags": "nightly,blue"}}
OFF = "general_settings: {database_url: 'off'}\n"
ON = """\
general_settings:
  database_url: {database}
  keys_required: true
  teams: [{{name: search, budget: 9000000/month}}]
  budgets:
    - {{for: all, usd: 9000000, per: month, hard: true}}
    - {{for: {{tag: nightly}}, usd: 9000000, per: day, hard: true}}
  alerts: [{{url: 'http://127.0.0.1:9/'}}]
"""
KEY = {"name": "bench", "team": "search", "tags": ["bench"], "budget": "9000000/month"}
PRICE = "        price: {input: 2, output: 8}"


@dataclass
class Figures:
    """Samples of one proxy, one of each kind per round; microseconds."""

    cpu: list[float] = field(default_factory=list)  # until all is written
    serving: list[float] = field(default_factory=list)  # of it, the thread that serves calls
    busy_p99: list[float] = field(default_factory=list)
    paced_p50: list[float] = field(default_factory=list)
    paced_p99: list[float] = field(default_factory=list)

    def behind(self) -> list[float]:
        """CPU of all other threads."""
        return [all - serving for all, serving in zip(self.cpu, self.serving, strict=True)]


def measured(pair: tuple[Target, Target], *, quick: bool, work: Path, core: int) -> list[Figures]:
    """Let both proxies take turns; return the figures of each."""
    found = [Figures(), Figures()]
    with all_running(list(pair)):
        for target in pair:  # warm up: not recorded
            load.wrk(target.chat, connections=CPU_AT, seconds=BURST_S, work=work, core=core)
        for number in range(QUICK_ROUNDS if quick else ROUNDS):
            print(f"bench: all of it, round {number + 1}", flush=True)
            turns = list(zip(pair, found, strict=True))
            for target, figures in turns if number % 2 else turns[::-1]:
                one_turn(target, figures, work=work, core=core)
    return found


def make_key_at_start(target: Target) -> None:
    """Let a target make a key when it has started, and be asked with it from then on."""
    start = target.start
    if start is None:
        raise BenchError(f"{target.name} has no process of its own.")

    def started(stdout: Path | None) -> Started:
        process = start(stdout)
        load.until_listening(target.chat, process, timeout_s=20.0)
        made = _admin(target, "POST", "/admin/keys", KEY)
        target.chat = replace(target.chat, key=made["key"])
        return process

    target.start = started


def one_turn(target: Target, figures: Figures, *, work: Path, core: int) -> None:
    """Add one sample of each kind."""
    process = target.running
    _until_written(target)
    cpu, serving = process.cpu_us(), process.serving_us()
    burst = load.wrk(target.chat, connections=CPU_AT, seconds=BURST_S, work=work, core=core)
    _until_written(target)
    figures.cpu.append((process.cpu_us() - cpu) / burst.requests)
    figures.serving.append((process.serving_us() - serving) / burst.requests)
    figures.busy_p99.append(burst.p99_us)
    latencies = load.paced(
        target.chat, connections=PACED_CONNECTIONS, rate=PACED_RATE, seconds=PACED_S
    )
    figures.paced_p50.append(percentile(latencies, 50))
    figures.paced_p99.append(percentile(latencies, 99))


def section(pair: list[Figures], command: str, machine: dict[str, str]) -> str:
    """Return the section of the report: medians of both, and of the differences round by round."""
    plain, everything = pair

    def row(label: str, samples: Callable[[Figures], list[float]], form: str = "{:.1f}") -> str:
        less, more = samples(plain), samples(everything)
        added = [one - other for one, other in zip(more, less, strict=True)]
        middle = [form.format(median(values)) for values in (less, more, added)]
        span = f"{form.format(min(added))} to {form.format(max(added))}"
        return f"| {label} | {' | '.join(middle)} | {span} |"

    pace = f"c={PACED_CONNECTIONS}, {PACED_RATE:,} requests/s"
    added = median(more - less for more, less in zip(everything.cpu, plain.cpu, strict=True))
    verdict = "met" if added < LIMIT_US else "**missed**"
    facts = "; ".join(f"{name}: {machine[name]}" for name in FACTS)
    return f"""{HEAD}

`{command}`, {datetime.now(UTC):%Y-%m-%d}. {facts}.

Target: less than {LIMIT_US:g} us of CPU a call: {added:.1f} us, {verdict}.

| us a call | {PLAIN} | {ALL} | difference | lowest to highest |
|---|---:|---:|---:|---:|
{row(f"CPU, c={CPU_AT}", lambda figures: figures.cpu)}
{row("of it, the thread that serves calls", lambda figures: figures.serving)}
{row("of it, behind the calls: the database's threads", Figures.behind)}
{row(f"what a call waits: p50, {pace}", lambda figures: figures.paced_p50, "{:.0f}")}
{row(f"what a call waits: p99, {pace}", lambda figures: figures.paced_p99, "{:.0f}")}
{row(f"p99, c={CPU_AT}, full speed", lambda figures: figures.busy_p99, "{:.0f}")}

Two proxies that take turns in one run, asked the same, each {BURST_S} s at full speed and
{PACED_S:g} s at a pace per round, {len(plain.cpu)} rounds; medians, and of the differences round by
round. *{PLAIN.capitalize()}* has no prices and no store. *{ALL.capitalize()}* has prices, the store
(an SQLite file), a key made at run time, of a team, four hard budgets, an alert, tags and an end
user on every call, and metrics by caller, group and team. CPU counts until the last row is written;
the thread that serves calls also makes the rows, some at a time, after the calls.
"""


def put_into(results: Path, text: str) -> None:
    """Put the section into a report, in place of an earlier one."""
    before = results.read_text() if results.exists() else "# Benchmark\n"
    head, _, rest = before.partition(f"{HEAD}\n")
    _, mark, after = rest.partition("\n## ")
    results.write_text(f"{head.rstrip()}\n\n{text}" + (f"\n## {after}" if mark else ""))


def _until_written(target: Target) -> None:
    """Wait until the store has the rows of all calls."""
    give_up_at = time.monotonic() + WRITTEN_WITHIN_S
    while time.monotonic() < give_up_at:
        database = _admin(target, "GET", "/health")["database"]
        if database is None or not database["queued"] + database["spooled"]:
            return
        time.sleep(0.1)
    raise BenchError(f"{target.name} has not written all calls in time.")


def _admin(target: Target, method: str, path: str, body: object = None) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", target.chat.port, timeout=20)
    try:
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, {"content-type": "application/json"})
        response = connection.getresponse()
        found = json.loads(response.read())
    finally:
        connection.close()
    if response.status >= 300:
        raise BenchError(f"{target.name}: {method} {path} gave {response.status}: {found}")
    return dict(found)
