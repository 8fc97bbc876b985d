"""Measures what test_shared_view.py checks in small: minutes of overload, one of the
processes killed in the middle, and 500 calls a second through every fault of the server.

    python -m tests.system.measure_sharing limit    four processes at 150 % of a limit, 3 minutes
    python -m tests.system.measure_sharing kill     the same, and one of them is killed meanwhile
    python -m tests.system.measure_sharing drill    every fault, 500 calls a second
"""

import asyncio
import signal
import sys
import tempfile
from pathlib import Path
from time import monotonic

import uvloop

from tests.support.valkey import valkey
from tests.system.sharing import (
    FAULTS,
    Load,
    accounts,
    befalls,
    percentile,
    proxies,
    seen_by,
)

PROCESSES = 4
RPM = 600
MINUTES = 3
WINDOW_S = 60.75  # in which whatever was granted is free again (docs/decisions/011-one-view.md)
DRILL_CALLS_PER_S = 500
PHASE_S = 10


def tell(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def limit(folder):
    """How full the limit is, and by how much it is exceeded in the worst minute."""
    async with valkey(folder) as server, accounts("only") as (only,):
        entry = only.entry(limits={"rpm": RPM})
        async with proxies(folder, PROCESSES, server, entry, queue={"max_wait_s": 1}) as made:
            load = Load([each.port for each in made], 1.5 * RPM / 60)
            async with load.running():
                await asyncio.sleep(MINUTES * 60)
    since = only.asked_at[-1] - 60 * (MINUTES - 1)
    after_the_first = sum(moment > since for moment in only.asked_at) / (MINUTES - 1)
    tell(f"limit {RPM} a minute, {PROCESSES} processes, load 150 %: {load.statuses()}")
    tell(f"  calls of each process: {[len(each.calls) for each in made]}")
    tell(f"  most in any 60 s: {only.most_within(60)} ({only.most_within(60) / RPM:.1%})")
    tell(f"  after the first minute: {after_the_first:.0f} a minute ({after_the_first / RPM:.1%})")


async def kill(folder):
    """What the others dispatch in the first window after a kill -9, and in the one after it."""
    async with valkey(folder) as server, accounts("only") as (only,):
        entry = only.entry(limits={"rpm": RPM, "concurrent": 4 * PROCESSES})
        async with proxies(folder, PROCESSES, server, entry, queue={"max_wait_s": 1}) as made:
            load = Load([each.port for each in made], 1.5 * RPM / 60)
            async with load.running():
                await asyncio.sleep(1.5 * WINDOW_S)
                load.dead.add(made[0].port)
                made[0].signal(signal.SIGKILL)
                killed_at = monotonic()
                counted_s = await seen_by(made[1], instances=PROCESSES - 1)
                await asyncio.sleep(2 * WINDOW_S - counted_s)
    tell(f"limit {RPM} a minute, one of {PROCESSES} processes killed: {load.statuses()}")
    tell(f"  most in any 60 s: {only.most_within(60)} ({only.most_within(60) / RPM:.1%})")
    tell(f"  the others count {PROCESSES - 1} instances {counted_s:.1f} s later")
    for name, begins_at in (("before it", -WINDOW_S), ("after it", 0), ("then", WINDOW_S)):
        since = killed_at + begins_at
        used = sum(since < moment <= since + WINDOW_S for moment in only.asked_at)
        tell(f"  in the window {name}: {used} ({used / RPM:.1%})")


async def drill(folder):
    """The proxies' own time for a call, phase by phase."""
    async with valkey(folder) as server, accounts("only") as (only,):
        entry = only.entry(limits={"rpm": 10**6, "tpm": 10**9})
        async with proxies(folder, PROCESSES, server, entry) as made:
            load = Load([each.port for each in made], DRILL_CALLS_PER_S)
            async with load.running():
                await asyncio.sleep(PHASE_S)
                await _phase("is well", load, made)
                for name, (happens, heals) in FAULTS.items():
                    await befalls(server, happens)
                    await _phase(name, load, made)
                    await befalls(server, heals)
                    began = monotonic()
                    for each in made:
                        await seen_by(each, connected=True, instances=PROCESSES)
                    tell(f"    healed within {monotonic() - began:.2f} s")
                await _phase("is well again", load, made)
    tell(f"{len(load.outcomes)} calls: {load.statuses()}")


async def _phase(name, load, made):
    """Tell of the calls of the next seconds, from the proxies' logs."""
    lines = [len(each.calls) for each in made]
    calls = len(load.outcomes)
    await asyncio.sleep(PHASE_S)
    overheads = [
        call["overhead_ms"]
        for each, line in zip(made, lines, strict=True)
        for call in each.calls[line:]
    ]
    lasted = [1000 * each for _, each, _ in load.outcomes[calls:]]
    tell(
        f"the server {name:20} {len(overheads):5} calls; the proxy's own time:"
        f" p50 {percentile(overheads, 0.5):.2f}, p99 {percentile(overheads, 0.99):.2f} ms;"
        f" the whole call: p50 {percentile(lasted, 0.5):.2f}, p99 {percentile(lasted, 0.99):.2f} ms"
    )


def main():
    measures = {"limit": limit, "kill": kill, "drill": drill}
    if len(sys.argv) != 2 or sys.argv[1] not in measures:
        sys.exit(__doc__)
    with (
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(measures[sys.argv[1]](Path(folder)))


if __name__ == "__main__":
    main()
