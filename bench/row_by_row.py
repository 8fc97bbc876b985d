"""Measures the rows of bench/rows.py: LLMProxy as each row says, and nginx under the same load."""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

import bursts
import load
import measure
import report
import run
from load import Address, Streams
from processes import BenchError
from rows import KEY, LABELS, MODEL, ROWS, Proxy, Row

from llmproxy.interpreter import this_build

if TYPE_CHECKING:
    from collections.abc import Callable

    from measure import Target

Figures = dict[str, float]  # by their names, which have the unit
SAID = "Explain in plain words what a reverse proxy does and when one is of use. "
OPEN_FILES = 20_000  # 9,500 streams have two sides
STREAM_INTERVAL_MS = 4_000  # 2,400 chunks/s of 9,500 streams
OPENED_WITHIN_S = 60
TOKENS = 50_000
NGINX = "nginx"


@dataclass(frozen=True, slots=True)
class Bench:
    """Where and how long the loads run."""

    ports: dict[str, int]
    proxy_core: int
    load_core: int
    seconds: float


def calls(target: Target, row: Row, bench: Bench) -> Figures:
    text = (SAID * (row.size_kb * 1000 // len(SAID) + 1))[: row.size_kb * 1000 - 160]
    messages = [{"role": "user", "content": text}]
    more = LABELS if row.size_kb == 1 else {**LABELS, "messages": messages}
    before_us = target.running.cpu_us()
    burst = load.wrk(
        replace(target.chat, more=more),
        connections=row.connections,
        seconds=bench.seconds,
        work=run.WORK,
        core=bench.load_core,
        new="cache" in row.proxy.parts,  # an answer from the cache would be no whole call
    )
    used_us = target.running.cpu_us() - before_us
    return {"CPU us a call": used_us / burst.requests, "calls/s": burst.requests / burst.seconds}


def burst(target: Target, row: Row, bench: Bench) -> Figures:
    del bench  # one burst, however long it takes
    time.sleep(bursts.PAUSE_S)
    answered = bursts.burst(target.chat, row.connections)
    return {"ms until all are answered": answered.all_ms}


def pace(target: Target, row: Row, bench: Bench) -> Figures:
    """The p99 over that of a direct call in the same moment."""
    p99_us = [
        measure.percentile(
            load.paced(
                address,
                connections=row.connections,
                rate=measure.PACED_RATE,
                seconds=bench.seconds,
            ),
            99,
        )
        for address in (Address(bench.ports["chat_port"], MODEL), target.chat)
    ]
    return {"p99 us added": p99_us[1] - p99_us[0]}


def streams(target: Target, row: Row, bench: Bench) -> Figures:
    process = target.running
    chunks = round((bench.seconds + OPENED_WITHIN_S) * 1000 / STREAM_INTERVAL_MS)

    async def relay() -> Figures:
        opened = Streams(
            target.stream, count=row.connections, chunks=chunks, interval_ms=STREAM_INTERVAL_MS
        )
        try:
            await opened.start(OPENED_WITHIN_S)
            cpu_us, relayed = process.cpu_us(), opened.relayed
            await asyncio.sleep(bench.seconds)
            cpu_us, relayed = process.cpu_us() - cpu_us, opened.relayed - relayed
            return {"MB": process.memory().pss, "CPU us a chunk": cpu_us / max(1, relayed)}
        finally:
            opened.close()

    return load.on_uvloop(relay())


def tokens(target: Target, row: Row, bench: Bench) -> Figures:
    del bench  # so many, as fast as they come

    async def relay() -> Figures:
        stream = Streams(target.stream, count=row.connections, chunks=TOKENS, interval_ms=0)
        cpu_us, began = target.running.cpu_us(), time.monotonic()
        try:
            await stream.start()
            await stream.until_done()
            took_s, cpu_us = time.monotonic() - began, target.running.cpu_us() - cpu_us
        finally:
            stream.close()
        # The client does not count an event that lies across two chunks of the transfer.
        if stream.relayed < 0.99 * TOKENS:
            raise BenchError(f"Expected {TOKENS} tokens from {target.name}: {stream.relayed}.")
        return {"tokens/s": TOKENS / took_s, "CPU us a token": cpu_us / TOKENS}

    return load.on_uvloop(relay())


LOADS: dict[str, Callable[[Target, Row, Bench], Figures]] = {
    "calls": calls,
    "burst": burst,
    "pace": pace,
    "streams": streams,
    "tokens": tokens,
}
Samples = dict[tuple[str, str], dict[str, list[float]]]  # by row and figure, then by target


def llmproxy(proxy: Proxy, bench: Bench) -> Target:
    database = run.STATE / f"{proxy.label}.sqlite"
    for path in run.STATE.glob(f"{database.name}*"):
        path.unlink()
    config = run.WORK / f"{proxy.label}.yaml"
    ports = {"port": bench.ports["chat_port"], "stream_port": bench.ports["stream_port"]}
    config.write_text(proxy.config(**ports, database=str(database)))
    cores = bench.proxy_core if proxy.workers == 1 else f"{bench.proxy_core},{bench.load_core}"
    more = ("--workers", str(proxy.workers)) if proxy.workers > 1 else ()
    target = run.serving("LLMProxy", proxy.label, config, cores, more)
    for kind in ("chat", "stream"):
        setattr(target, kind, replace(getattr(target, kind), key=KEY))
    return target


def measured(groups: list[str], *, rounds: int, seconds: float, until: float) -> str:
    """Measure the rows of the groups; return the tables."""
    proxy_core, load_core = run.two_cores()
    os.sched_setaffinity(0, {load_core})
    open_files_allowed()
    run.STATE.mkdir(parents=True, exist_ok=True)
    samples: Samples = defaultdict(lambda: defaultdict(list))
    left_out: dict[str, str] = {}
    with ExitStack() as stack:
        ports = run.vendors(stack, load_core)
        bench = Bench(ports, proxy_core, load_core, seconds)
        for group in groups:
            rows = [row for row in ROWS if row.group == group]
            try:
                one_group(rows, bench, rounds, until=until, samples=samples)
            except BenchError as error:
                left_out[group] = str(error)
    return report_of(samples, left_out)


def one_group(
    rows: list[Row], bench: Bench, rounds: int, *, until: float, samples: Samples
) -> None:
    """Start what the rows need, and let it take turns."""
    targets: dict[Proxy | str, Target] = {NGINX: run.nginx_target(bench.ports, bench.proxy_core)}
    for row in rows:
        if 2 * row.connections > open_files_allowed():
            raise BenchError(f"{OPEN_FILES} open files are needed: raise ulimit -Hn.")
        if row.proxy not in targets:
            targets[row.proxy] = llmproxy(row.proxy, bench)
    with measure.all_running(list(targets.values())):
        for target in targets.values():  # warm up: not recorded
            calls(target, replace(rows[0], connections=32, size_kb=1), replace(bench, seconds=1))
        for number in range(rounds):
            if number and time.monotonic() > until:
                run.say(f"{rows[0].group}: no time for round {number + 1}")
                return
            run.say(f"{rows[0].group}: round {number + 1} of {rounds}")
            done: dict[tuple[str, int, int], Figures] = {}
            for row in rows[:: -1 if number % 2 else 1]:
                measure_one = LOADS[row.load]
                if row.yardstick not in done:
                    done[row.yardstick] = measure_one(targets[NGINX], row, bench)
                ours = measure_one(targets[row.proxy], row, bench)
                for figure, value in ours.items():
                    found = samples[f"{row.group}: {row.what}", figure]
                    found["LLMProxy"].append(value)
                    found[NGINX].append(done[row.yardstick][figure])


def open_files_allowed() -> int:
    """Raise the limit, as far as we may, for this process and those that it starts; return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed


def report_of(samples: Samples, left_out: dict[str, str]) -> str:
    lines = ["| | figure | of nginx's | LLMProxy | nginx |", "|---|---|---:|---:|---:|"]
    order = {f"{row.group}: {row.what}": number for number, row in enumerate(ROWS)}
    for what, figure in sorted(samples, key=lambda key: order[key[0]]):
        ours, nginx = (median(samples[what, figure][name]) for name in ("LLMProxy", NGINX))
        cells = (
            f"{ours / nginx:.2f} | {ours:,.5g} | {nginx:,.5g}"
            if nginx > 0
            else f"- | {ours:,.5g} | {nginx:,.5g}"
        )
        lines.append(f"| {what} | {figure} | {cells} |")
    lines += [f"\nLeft out: {group}: {reason}" for group, reason in left_out.items()]
    machine = report.machine(busy_before=0, stolen=0)
    build = f"Python {platform.python_version()}, {this_build().in_words()}"
    return "\n".join([*lines, f"\nLLMProxy on {build}; {machine['CPU']}; {machine['LLMProxy']}.\n"])
