"""Measurements: each takes targets, puts load on them and adds samples to their sheets.

Targets take turns within every round, so that whatever else the machine does hits all of them;
the report takes medians over the rounds. A target without a process (direct: no proxy) is loaded
in the same way but has no CPU, memory or start-up of its own.
"""

from __future__ import annotations

import asyncio
import http.client
import math
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import load
import upstream
from load import Address, Streams
from processes import BenchError, Memory, Started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CONNECTIONS = (1, 32, 256)  # of wrk
CPU_AT = 32  # the headline CPU figure is taken at this many connections
PACED_CONNECTIONS, PACED_RATE = 32, 1_000
PACED_STREAMS = 64
# Judged at the first pace. On an idle core most of a chunk's cost is being woken for it, more so in
# a virtual machine; the second pace is dense enough to show what the proxy itself does.
CHUNK_INTERVALS_MS = (20, 4)
OPEN_STREAMS = 1_000
SETTLE_S = 0.5  # between the opening of streams and the counting, and at their end
# LLMProxy before an endpoint whose limits it does not know: without a key of ours its headers are
# not ours to learn from, and config has none. What it costs less is what capacity costs.
BLIND = "LLMProxy, blind"
# The same as LLMProxy with a cache: where each request was asked before, and where none was. They
# answer whole requests only, and are compared at one number of connections.
HIT, MISS = "cache hit", "cache miss"
# Without its recorder; and with dashboards that look on.
UNCOUNTED, WATCHED = "LLMProxy, uncounted", "LLMProxy, watched"
DASHBOARDS = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often; seconds."""

    rounds: int
    wrk_s: float
    stream_s: float
    paced_s: float
    starts: int


FULL = Plan(rounds=5, wrk_s=3, stream_s=4, paced_s=2.5, starts=5)
QUICK = Plan(rounds=2, wrk_s=1, stream_s=1.5, paced_s=1, starts=2)


@dataclass
class Sheet:
    """Samples of one target, one per round; microseconds unless the name says otherwise.

    Dictionaries are keyed by wrk's number of connections, or by the interval of chunks in ms.
    """

    name: str
    requests_per_s: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    p50: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    p99: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    cpu_per_request: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    cpu_per_chunk: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    paced_p50: list[float] = field(default_factory=list)
    paced_p99: list[float] = field(default_factory=list)
    added_p99: list[float] = field(default_factory=list)
    start_s: list[float] = field(default_factory=list)
    idle: Memory | None = None
    streaming: Memory | None = None
    access_log: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass
class Target:
    """Something that answers chat calls: its addresses, its samples and how to start it."""

    name: str
    chat: Address
    stream: Address
    sheet: Sheet
    start: Callable[[Path | None], Started] | None = None  # its stdout goes to the path, if any
    logging: bool = False  # it is meant to write an access log, in JSON, to stdout
    process: Started | None = None

    @property
    def compared(self) -> bool:
        """Only to tell what something costs: at full speed, at one number of connections."""
        return self.sheet.name in (HIT, MISS, UNCOUNTED, WATCHED)

    @property
    def running(self) -> Started:
        if self.process is None:
            raise BenchError(f"{self.name} is not running.")
        return self.process

    def fresh(self, stdout: Path | None = None) -> Started:
        if self.start is None:
            raise BenchError(f"{self.name} has no process of its own.")
        return self.start(stdout)


def start_up(target: Target, plan: Plan, work: Path) -> None:
    """Seconds from spawning the process to its first 200 for a chat call, several times.

    The first time is not counted: it fills the disk cache and Python's bytecode cache. That run
    also shows whether an access log is written.
    """
    log = work / f"{target.name}.stdout"
    for number in range(plan.starts + 1):
        began = time.monotonic()
        with target.fresh(log if number == 0 else None) as process:
            first_answer(target, process)
            if number:
                target.sheet.start_s.append(time.monotonic() - began)
            else:
                time.sleep(1.0)  # a batched log may be a little late
    lines = [line for line in log.read_bytes().splitlines() if line.startswith(b"{")]
    target.sheet.access_log = "on, JSON" if lines else "off"
    if target.logging and not lines:
        target.sheet.notes.append(f"{target.sheet.name} wrote no access log: it looks too good.")


def first_answer(target: Target, process: Started, timeout_s: float = 20.0) -> None:
    """Poll until the target gives exactly what the upstream says."""
    give_up_at = time.monotonic() + timeout_s
    found = "no connection"
    while time.monotonic() < give_up_at:
        process.check_alive()
        try:
            status, body = load.ask(target.chat)
        except (OSError, http.client.HTTPException) as error:
            found = repr(error)
        else:
            if status == 200 and body == upstream.ANSWER.encode():
                return
            found = f"{status} {body[:300]!r}"
        time.sleep(0.002)
    raise BenchError(f"{target.name} gave no answer within {timeout_s:g} s; last: {found}")


def memory(target: Target) -> None:
    """Of a fresh process: idle after one call, and with 1,000 streams open, all of them alive."""
    with target.fresh() as process:
        first_answer(target, process)
        time.sleep(1.0)
        target.sheet.idle = process.memory()

        async def open_all() -> Memory:
            streams = Streams(target.stream, count=OPEN_STREAMS, chunks=60, interval_ms=1000)
            try:
                await streams.start()
                await asyncio.sleep(SETTLE_S)
                return process.memory()
            finally:
                streams.close()

        target.sheet.streaming = load.on_uvloop(open_all())


def full_speed(target: Target, plan: Plan, work: Path, core: int) -> None:
    """wrk at each number of connections: throughput, latency, CPU per request."""
    for connections in (CPU_AT,) if target.compared else CONNECTIONS:
        watchers = DASHBOARDS if target.sheet.name == WATCHED else 0
        with load.watching(target.chat, watchers):
            before_us = target.process.cpu_us() if target.process else 0.0
            burst = load.wrk(
                target.chat,
                connections=connections,
                seconds=plan.wrk_s,
                work=work,
                core=core,
                new=target.sheet.name == MISS,
            )
        sheet = target.sheet
        if target.process:
            used_us = target.process.cpu_us() - before_us
            sheet.cpu_per_request[connections].append(used_us / burst.requests)
        sheet.requests_per_s[connections].append(burst.requests / burst.seconds)
        sheet.p50[connections].append(burst.p50_us)
        sheet.p99[connections].append(burst.p99_us)


def chunks(target: Target, plan: Plan, *, interval_ms: int) -> None:
    """CPU per relayed chunk, between two moments at which all streams are open.

    Opening and closing lie outside, so the cost per request does not enter. A target that does
    not keep the pace gets a note and no sample.
    """
    process = target.running

    async def relay() -> tuple[float, int]:
        total_ms = (plan.stream_s + 2 * SETTLE_S) * 1000
        streams = Streams(
            target.stream,
            count=PACED_STREAMS,
            chunks=round(total_ms / interval_ms),
            interval_ms=interval_ms,
        )
        try:
            await streams.start()
            await asyncio.sleep(SETTLE_S)
            cpu_us, relayed = process.cpu_us(), streams.relayed
            await asyncio.sleep(plan.stream_s)
            cpu_us, relayed = process.cpu_us() - cpu_us, streams.relayed - relayed
            await streams.finish()
        finally:
            streams.close()
        return cpu_us, relayed

    cpu_us, relayed = load.on_uvloop(relay())
    expected = PACED_STREAMS * plan.stream_s * 1000 / interval_ms
    if relayed < 0.95 * expected:
        lag = f"{relayed:,} chunks instead of {expected:,.0f} at one every {interval_ms} ms"
        target.sheet.notes.append(f"{target.sheet.name} fell behind: {lag}; not counted.")
    else:
        target.sheet.cpu_per_chunk[interval_ms].append(cpu_us / relayed)


def fixed_rate(targets: list[Target], plan: Plan) -> None:
    """p50 and p99 at a fixed rate, one target after the other; added: over direct's, this round."""
    direct_p99 = None
    for target in targets:
        if target.compared and target.sheet.name != HIT:
            continue
        latencies = load.paced(
            target.chat, connections=PACED_CONNECTIONS, rate=PACED_RATE, seconds=plan.paced_s
        )
        p99 = percentile(latencies, 99)
        target.sheet.paced_p50.append(percentile(latencies, 50))
        target.sheet.paced_p99.append(p99)
        if target.process is None:
            direct_p99 = p99
        elif direct_p99 is not None:
            target.sheet.added_p99.append(p99 - direct_p99)


def percentile(samples: list[float], percent: float) -> float:
    """The nearest-rank percentile."""
    ranked = sorted(samples)
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)]


@contextmanager
def all_running(targets: list[Target]) -> Iterator[None]:
    """Every target that has a process is up and has answered; closed at the end."""
    try:
        for target in targets:
            if target.start:
                target.process = target.fresh()
                first_answer(target, target.process)
        yield
    finally:
        for target in targets:
            if target.process:
                target.process.close()
                target.process = None
