"""Measure at full size what test_shared_view.py tests on a small scale: minutes of overload, one
process killed meanwhile, and 500 calls a second through every fault of the server.

    python -m tests.system.measure_sharing limit    four processes at 150 % of a limit, 3 minutes
    python -m tests.system.measure_sharing kill     the same, and one of them is killed meanwhile
    python -m tests.system.measure_sharing places   the same, where calls at a time are limited
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
    apply_fault,
    most_within,
    percentile,
    proxies,
    until_shared,
)

PROCESSES = 4
RPM = 600
MINUTES = 3
WINDOW_S = 60.75  # after which every grant is free again (docs/decisions/011-one-view.md)
LASTS_S = 0.5  # duration of a call that a kill interrupts
DRILL_CALLS_PER_S = 500
PHASE_S = 10


def print_line(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def limit(folder):
    """Measure how full the limit is, and by how much it is exceeded in the worst minute."""
    async with valkey(folder) as server, accounts("only") as (only,):
        entry = only.entry(limits={"rpm": RPM})
        async with proxies(folder, PROCESSES, server, entry, queue={"max_wait_s": 1}) as members:
            load = Load([instance.port for instance in members], 1.5 * RPM / 60)
            async with load.running():
                await asyncio.sleep(MINUTES * 60)
    since = only.asked_at[-1] - 60 * (MINUTES - 1)
    after_the_first = sum(moment > since for moment in only.asked_at) / (MINUTES - 1)
    most = most_within(60, only.asked_at)
    print_line(f"limit {RPM} a minute, {PROCESSES} processes, load 150 %: {load.statuses()}")
    print_line(f"  calls of each process: {[len(instance.calls) for instance in members]}")
    print_line(f"  most in any 60 s: {most} ({most / RPM:.1%})")
    print_line(
        f"  after the first minute: {after_the_first:.0f} a minute ({after_the_first / RPM:.1%})"
    )


async def kill(folder):
    """Measure what the others dispatch in the first two windows after a kill -9."""
    async with valkey(folder) as server, accounts("only", lasts_s=LASTS_S) as (only,):
        entry = only.entry(limits={"rpm": RPM, "concurrent": 4 * PROCESSES})
        async with proxies(folder, PROCESSES, server, entry, queue={"max_wait_s": 1}) as members:
            load = Load(
                [instance.port for instance in members], 1.5 * RPM / 60, clients=10 * PROCESSES
            )
            async with load.running():
                await asyncio.sleep(1.5 * WINDOW_S)
                held = await _granted(server) - only.within(monotonic() - WINDOW_S, WINDOW_S)
                killed_at = _kill(members[0], load)
                counted_s = await until_shared(members[1], instances=PROCESSES - 1)
                abandoned = only.abandoned
                await asyncio.sleep(2 * WINDOW_S - counted_s)
    at = only.asked_at
    before = most_within(60, [moment for moment in at if moment <= killed_at])
    after = most_within(60, [moment for moment in at if moment > killed_at])
    print_line(f"limit {RPM} a minute, one of {PROCESSES} processes killed: {load.statuses()}")
    print_line(
        f"  calls under way that died with it: {abandoned}; leased by all and not sent: {held}"
    )
    for name, most in (("before it", before), ("after it", after), ("ever", most_within(60, at))):
        print_line(f"  most in any 60 s {name}: {most} ({most / RPM:.1%})")
    print_line(f"  the others count {PROCESSES - 1} instances {counted_s:.1f} s later")
    for name, begins_at in (("before it", -WINDOW_S), ("after it", 0), ("then", WINDOW_S)):
        used = only.within(killed_at + begins_at, WINDOW_S)
        print_line(f"  in the window {name}: {used} ({used / RPM:.1%})")


async def places(folder):
    """How many calls the others have at a time after a kill -9, and when that is the limit again.
    Each has an even part of it, so the limit is one that both 4 and 3 divide."""
    concurrent = 6 * PROCESSES
    async with valkey(folder) as server, accounts("only", lasts_s=LASTS_S) as (only,):
        entry = only.entry(limits={"concurrent": concurrent})
        async with proxies(folder, PROCESSES, server, entry, queue={"max_wait_s": 1}) as members:
            load = Load([instance.port for instance in members], 200, clients=4 * concurrent)
            async with load.running():
                await asyncio.sleep(PHASE_S)
                killed_at = _kill(members[0], load)
                counted_s = await until_shared(members[1], instances=PROCESSES - 1)
                await asyncio.sleep(PHASE_S)
                abandoned = only.abandoned
    print_line(
        f"{concurrent} calls at a time, one of {PROCESSES} processes killed: {load.statuses()}"
    )
    print_line(f"  calls under way that died with it: {abandoned}")
    print_line(f"  the others count {PROCESSES - 1} instances {counted_s:.1f} s later")
    for since_s in range(-2, 8):
        a_second = only.within(killed_at + since_s, 1.0)
        print_line(f"  from {since_s:2} s: {a_second * LASTS_S:.1f} at a time")


def _kill(proxy, load):
    """Kill a proxy with -9 while it has calls; its clients call the others. Return the time."""
    load.dead.add(proxy.port)
    proxy.signal(signal.SIGKILL)
    return monotonic()


async def _granted(server):
    """Return the requests in the only window on the server."""
    async with server.client() as client:
        (key,) = await client.keys("*:window:*")
        return int(await client.hget(key, "r"))


async def drill(folder):
    """Measure the proxies' own time per call, phase by phase."""
    async with valkey(folder) as server, accounts("only") as (only,):
        entry = only.entry(limits={"rpm": 10**6, "tpm": 10**9})
        async with proxies(folder, PROCESSES, server, entry) as members:
            load = Load([instance.port for instance in members], DRILL_CALLS_PER_S)
            async with load.running():
                await asyncio.sleep(PHASE_S)
                await _phase("is healthy", load, members)
                for name, (happens, heals) in FAULTS.items():
                    await apply_fault(server, happens)
                    await _phase(name, load, members)
                    await apply_fault(server, heals)
                    began = monotonic()
                    for instance in members:
                        await until_shared(instance, connected=True, instances=PROCESSES)
                    print_line(f"    healed within {monotonic() - began:.2f} s")
                await _phase("is healthy again", load, members)
    print_line(f"{len(load.outcomes)} calls: {load.statuses()}")


async def _phase(name, load, members):
    """Report the calls of the next seconds, from the proxies' logs."""
    lines = [len(instance.calls) for instance in members]
    calls = len(load.outcomes)
    await asyncio.sleep(PHASE_S)
    overheads = [
        call["overhead_ms"]
        for instance, line in zip(members, lines, strict=True)
        for call in instance.calls[line:]
    ]
    lasted = [1000 * lasted_s for _, lasted_s, _ in load.outcomes[calls:]]
    print_line(
        f"the server {name:20} {len(overheads):5} calls; the proxy's own time:"
        f" p50 {percentile(overheads, 0.5):.2f}, p99 {percentile(overheads, 0.99):.2f} ms;"
        f" the whole call: p50 {percentile(lasted, 0.5):.2f}, p99 {percentile(lasted, 0.99):.2f} ms"
    )


def main():
    measures = {"limit": limit, "kill": kill, "places": places, "drill": drill}
    if len(sys.argv) != 2 or sys.argv[1] not in measures:
        sys.exit(__doc__)
    with (
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(measures[sys.argv[1]](Path(folder)))


if __name__ == "__main__":
    main()
