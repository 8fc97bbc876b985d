"""The report: one table for the eye, RESULTS.md and results.png for the record.

It computes nothing but medians and spans; every figure stands in a sheet.
"""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from measure import (
    BLIND,
    CHUNK_INTERVALS_MS,
    CONNECTIONS,
    CPU_AT,
    DASHBOARDS,
    HIT,
    MISS,
    OPEN_STREAMS,
    PACED_CONNECTIONS,
    PACED_RATE,
    PACED_STREAMS,
    UNCOUNTED,
    WATCHED,
    Plan,
    Sheet,
)
from processes import find_tool

if TYPE_CHECKING:
    from collections.abc import Callable

NOTHING = "-"
Row = tuple[str, list[str]]


@dataclass(frozen=True, slots=True)
class Record:
    """One run: what was measured, how and where."""

    sheets: list[Sheet]
    plan: Plan
    rounds: int  # how many there was time for
    machine: dict[str, str]
    command: str
    took_s: float


@dataclass(frozen=True, slots=True)
class Judged:
    """One target of the project, and whether this run met it. `met` None: not measured."""

    figure: str
    target: str
    measured: str
    met: bool | None


def write(record: Record, folder: Path) -> None:
    """Print the table; write RESULTS.md and, with matplotlib, results.png into `folder`."""
    rows, judged = table(record.sheets), judgements(record.sheets)
    names = [sheet.name for sheet in record.sheets]
    print("\n" + plain("", names, rows))
    verdict = {True: "met", False: "MISSED", None: "not measured"}
    for line in judged:
        print(f"{verdict[line.met]:>12}  {line.figure}: {line.measured} (target {line.target})")
    print("".join(f"\nNote: {note}" for sheet in record.sheets for note in sheet.notes))
    drawn = find_spec("matplotlib") is not None
    if drawn:
        from plot import draw  # noqa: PLC0415 - matplotlib takes a second and may be missing

        draw(record.sheets, folder / "results.png")
    (folder / "RESULTS.md").write_text(markdown(record, rows, judged, plotted=drawn))
    print(f"\nWritten: RESULTS.md{' and results.png' if drawn else ''} in {folder.name}/")
    if not drawn:
        print("No plot: matplotlib is not installed in this environment (make bench installs it).")


def table(sheets: list[Sheet]) -> list[Row]:
    """Every figure as text, medians over the rounds; one column per sheet."""

    def row(label: str, samples: Callable[[Sheet], list[float]], form: str = "{:,.0f}") -> Row:
        return label, [_middle(samples(sheet), form) for sheet in sheets]

    rows: list[Row] = []
    for c in CONNECTIONS:
        rows.append(row(f"requests/s, c={c}", lambda sheet, c=c: sheet.requests_per_s[c]))
        rows.append(row(f"p50, us, c={c}", lambda sheet, c=c: sheet.p50[c]))
        rows.append(row(f"p99, us, c={c}", lambda sheet, c=c: sheet.p99[c]))
    for c in CONNECTIONS:
        label = f"CPU us per request, c={c}"
        rows.append(row(label, lambda sheet, c=c: sheet.cpu_per_request[c], "{:.1f}"))
    for ms in CHUNK_INTERVALS_MS:
        label = f"CPU us per chunk, {PACED_STREAMS} streams, {ms} ms"
        rows.append(row(label, lambda sheet, ms=ms: sheet.cpu_per_chunk[ms], "{:.1f}"))
    pace = f"c={PACED_CONNECTIONS}, {PACED_RATE:,} requests/s"
    rows.append(row(f"p50, us, {pace}", lambda sheet: sheet.paced_p50))
    rows.append(row(f"p99, us, {pace}", lambda sheet: sheet.paced_p99))
    rows.append(row(f"p99 added, us, {pace}", lambda sheet: sheet.added_p99))
    for label, memory in (
        ("idle", lambda sheet: sheet.idle),
        (f"{OPEN_STREAMS:,} open streams", lambda sheet: sheet.streaming),
    ):
        rows.append(row(f"RSS, MB, {label}", lambda s, m=memory: [m(s).rss] if m(s) else []))
        rows.append(row(f"PSS, MB, {label}", lambda s, m=memory: [m(s).pss] if m(s) else []))
    rows.append(row("start to first answer, ms", lambda s: [value * 1000 for value in s.start_s]))
    return rows


def judgements(sheets: list[Sheet]) -> list[Judged]:
    """The project's targets for LLMProxy, judged by this run alone."""
    by_name = {sheet.name: sheet for sheet in sheets}
    own = by_name.get("LLMProxy")
    if own is None:
        return []
    nginx = by_name.get("nginx")
    unary = _ratio(own.cpu_per_request[CPU_AT], nginx and nginx.cpu_per_request[CPU_AT])
    pace_ms = CHUNK_INTERVALS_MS[0]
    chunk = _ratio(own.cpu_per_chunk[pace_ms], nginx and nginx.cpu_per_chunk[pace_ms])
    start_s = median(own.start_s) if own.start_s else None
    pace = f"c={PACED_CONNECTIONS}, {PACED_RATE:,} requests/s"
    return [
        _judged("CPU per whole request", unary, 3.5, "x nginx", or_equal=True),
        _judged("CPU per stream chunk", chunk, 1.5, "x nginx", or_equal=True),
        _judged("capacity, of a call", _more_us(own, by_name.get(BLIND)), 6.0, "us"),
        _judged(
            f"counting a call, {DASHBOARDS} dashboards open",
            _more_us(by_name.get(WATCHED), by_name.get(UNCOUNTED)),
            5.0,
            "us",
        ),
        _judged("a miss of the cache, of a call", _more_us(by_name.get(MISS), own), 5.0, "us"),
        _judged_hits(by_name.get(HIT)),
        _judged(f"p99 added by a hit at {pace}", _added_ms(by_name.get(HIT)), 1.0, "ms"),
        _judged(f"p99 added at {pace}", _added_ms(own), 1.0, "ms"),
        _judged("RSS idle", own.idle and own.idle.rss, 62, "MB"),
        _judged(f"RSS, {OPEN_STREAMS:,} streams", own.streaming and own.streaming.rss, 160, "MB"),
        _judged("start to first answer", start_s, 1.0, "s"),
    ]


def _more_us(one: Sheet | None, other: Sheet | None) -> float | None:
    """What a request costs more at one than at the other: the difference, round by round."""
    if one is None or other is None:
        return None
    pairs = zip(one.cpu_per_request[CPU_AT], other.cpu_per_request[CPU_AT], strict=False)
    differences = [more - less for more, less in pairs]
    return median(differences) if differences else None


def _added_ms(sheet: Sheet | None) -> float | None:
    return median(sheet.added_p99) / 1000 if sheet is not None and sheet.added_p99 else None


def _judged_hits(sheet: Sheet | None) -> Judged:
    figure, least = f"hits of the cache on one core, c={CPU_AT}", 20_000
    measured = sheet.requests_per_s[CPU_AT] if sheet is not None else []
    if not measured:
        return Judged(figure, f">= {least:,}/s", NOTHING, None)
    value = median(measured)
    return Judged(figure, f">= {least:,}/s", f"{value:,.0f}/s", value >= least)


def markdown(record: Record, rows: list[Row], judged: list[Judged], *, plotted: bool) -> str:
    names = [sheet.name for sheet in record.sheets]
    parts = ["# Benchmark", f"`{record.command}`, {datetime.now(UTC):%Y-%m-%d}."]
    if plotted:
        parts.append("![The main figures as bars](results.png)")
    if judged:
        verdict = {True: "met", False: "**missed**", None: "not measured"}
        lines = [[line.target, line.measured, verdict[line.met]] for line in judged]
        parts += ["## Targets", _pipes(["figure", "target", "measured", ""], judged, lines)]
    parts += ["## Figures", "Medians over the rounds.", _grid(names, rows)]
    if notes := [f"- {note}" for sheet in record.sheets for note in sheet.notes]:
        parts.append("\n".join(notes))
    parts += ["## How it was measured", _how(record)]
    parts += ["## Spread", "Lowest to highest round.", _grid(names, _spread(record.sheets))]
    facts = "\n".join(f"- {name}: {value}" for name, value in record.machine.items())
    parts += ["## The machine", facts]
    return "\n\n".join(parts) + "\n"


def plain(corner: str, names: list[str], rows: list[Row]) -> str:
    """A table in columns, for a terminal."""
    width = max(len(label) for label, _ in rows)
    lines = [(corner, names), *rows]
    return "\n".join(
        f"{label:<{width}}" + "".join(f"{cell:>12}" for cell in cells) for label, cells in lines
    )


def machine(*, busy_before: float, stolen: float) -> dict[str, str]:
    """What the figures depend on."""
    cpu = [line for line in _read("/proc/cpuinfo").splitlines() if line.startswith("model name")]
    memory = _read("/proc/meminfo").partition("MemTotal:")[2].split("\n")[0].strip()
    model = cpu[0].partition(":")[2].strip() if cpu else platform.machine()
    commit = _first_line(["git", "describe", "--always", "--dirty"])
    return {
        "CPU": f"{model}, {os.cpu_count()} cores",
        "memory": f"{int(memory.split()[0]) / 1e6:.1f} GB" if memory else "unknown",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_version()} of {platform.python_build()[1]}",
        "libraries": ", ".join(
            f"{name} {_version(name)}" for name in ("uvloop", "httptools", "uvicorn")
        ),
        "LLMProxy": f"{_version('llmproxy')}, commit {commit}",
        "nginx": _first_line([find_tool("nginx") or "nginx", "-v"]).rpartition("/")[2],
        "wrk": _first_line(["wrk", "-v"]).split(" Copyright")[0].removeprefix("wrk "),
        "busy before the run": f"{busy_before:.0%} of all cores",
        "taken by the hypervisor during the run": f"{stolen:.1%}",
    }


def _how(record: Record) -> str:
    plan = record.plan
    paces = " or ".join(map(str, CHUNK_INTERVALS_MS))
    logs = ", ".join(f"{s.name} {s.access_log}" for s in record.sheets if s.access_log)
    return f"""\
All in one run of {record.took_s:.0f} s, on loopback. The proxy under test has one core for itself;
the load and the upstream share another, so at full speed *direct* is limited by that core and not
by a proxy. Targets take turns within each of {record.rounds} rounds. A chat request of 1 kB, an
answer of 0.6 kB, keep-alive.

- requests/s, p50, p99: wrk, one thread, {plan.wrk_s:g} s per round. The upstream is nginx with a
  fixed answer. A closed loop: at full speed the latencies are those of a full queue.
- CPU: user and system time of the proxy's whole process tree, from /proc, divided by the requests
  of the same interval. The target is judged at c={CPU_AT}.
- CPU per chunk: {PACED_STREAMS} streams, a chunk every {paces} ms on each, {plan.stream_s:g} s per
  round, taken while all streams are open (opening and closing do not count); every stream is
  checked to be complete. The target is judged at {CHUNK_INTERVALS_MS[0]} ms, where being woken is
  the larger part; the denser pace shows more of the proxy itself.
- p99 added: an open loop at {PACED_RATE:,} requests/s on {PACED_CONNECTIONS} connections,
  twice {plan.paced_s:g} s per round, latency from the moment at which a request was due; the
  proxy's p99 minus direct's p99 of the same turn.
- RSS, PSS: a fresh process, 1 s after its first answer, and with {OPEN_STREAMS:,} streams open,
  each alive with a chunk every second; sums over the process tree.
- start: from spawning the process to its first 200, {plan.starts} times, caches warm.
- cache hit, cache miss: LLMProxy with `cache: true, mode: all`; of the one every request was asked
  before, of the other none (each has a seed of its own). Whole requests, c={CPU_AT}, only.
- uncounted: LLMProxy without its metrics recorder; watched: with {DASHBOARDS} dashboards' event
  streams open. Whole requests, c={CPU_AT}, only.
- Access log: {logs or "none"}; it goes to /dev/null while measuring."""


def _spread(sheets: list[Sheet]) -> list[Row]:
    def span(samples: list[float], form: str) -> str:
        if not samples:
            return NOTHING
        return f"{form.format(min(samples))} to {form.format(max(samples))}"

    return [
        (
            f"CPU us per request, c={CPU_AT}",
            [span(sheet.cpu_per_request[CPU_AT], "{:.1f}") for sheet in sheets],
        ),
        *(
            (
                f"CPU us per chunk, {ms} ms",
                [span(sheet.cpu_per_chunk[ms], "{:.1f}") for sheet in sheets],
            )
            for ms in CHUNK_INTERVALS_MS
        ),
        (
            f"p99, us, {PACED_RATE:,} requests/s",
            [span(sheet.paced_p99, "{:,.0f}") for sheet in sheets],
        ),
        ("start to first answer, s", [span(sheet.start_s, "{:.3f}") for sheet in sheets]),
    ]


def _judged(
    figure: str, value: float | None, limit: float, unit: str, *, or_equal: bool = False
) -> Judged:
    target = f"{'<=' if or_equal else '<'} {limit:g} {unit}"
    if value is None:
        return Judged(figure, target, NOTHING, None)
    met = value <= limit if or_equal else value < limit
    return Judged(figure, target, f"{value:.2f} {unit}", met)


def _ratio(own: list[float], other: list[float] | None) -> float | None:
    return median(own) / median(other) if own and other else None


def _middle(samples: list[float], form: str) -> str:
    return form.format(median(samples)) if samples else NOTHING


def _grid(names: list[str], rows: list[Row]) -> str:
    lines = [f"| | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]
    return "\n".join(lines + [f"| {label} | {' | '.join(cells)} |" for label, cells in rows])


def _pipes(head: list[str], judged: list[Judged], lines: list[list[str]]) -> str:
    rows = [
        f"| {line.figure} | {' | '.join(cells)} |"
        for line, cells in zip(judged, lines, strict=True)
    ]
    return "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *rows])


def _first_line(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return ((done.stdout or done.stderr).splitlines() or ["unknown"])[0]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _read(path: str) -> str:
    return Path(path).read_text()
