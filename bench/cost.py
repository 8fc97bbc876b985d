"""make cost: what a call and a chunk cost the proxy, counted instead of timed.

    python bench/cost.py [--only call,chunk] [--bytecodes] [--functions N] [--check | --write]

Instructions of the whole process under valgrind's callgrind, less those of an idle time of the
same length; and bytecodes of Python, by part of the house. Neither depends on what else the machine
does: instructions repeat within 3 %, bytecodes within 1.5 %. System calls are not counted.

`--check` compares bytecodes with bench/cost.json, which is committed, and fails if a call or a
chunk costs more than 3 % more. `--write` writes that file; so a commit that costs more says so.
Both take the least of three counts: what is done once in some milliseconds, or for a batch, falls
on more of the calls when these come slowly, and under valgrind on each.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import one_by_one
from one_by_one import CONFIG, MODEL, Endpoint, Pair

HERE = Path(__file__).resolve().parent
BASELINE = HERE / "cost.json"
ALLOWED = 1.03
ROUNDS = 3  # that --check and --write count
CALL, CHUNK = "call", "chunk"
LIBRARIES = "libraries"
BODY_BYTES = 1_000
WARM_UP = 200
COUNTED = {CALL: 400, CHUNK: 1_000}
STARTED_WITHIN_S = 300.0  # under valgrind, on a busy machine
IDLE_TICKS = 8  # of CPU in a second, 10 ms each: below, a start is over
SIGNAL_S = 0.3  # until a signal has been handled
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
# The folders of llmproxy/ by what they do for a call; the first that fits counts.
PARTS = {
    "server": ("server/", "aio/", "asgi/"),
    "application": ("app/", "gateway", "batteries/web_pages", "batteries/callers"),
    "parsing": ("pipeline/intake", "rules/body", "rules/headers", "rules/paths", "rules/encoding"),
    "routing": ("routing/", "rules/", "batteries/token_estimates", "batteries/affinity"),
    "upstream": ("upstream/", "pipeline/failover", "providers/", "operations/"),
    "relay": ("pipeline/",),
    "telemetry": ("batteries/telemetry", "events"),
    "record": ("batteries/store", "batteries/spend", "batteries/budgets", "record", "steps"),
}


class ProxyEnded(Exception):
    """The proxy ended by itself."""


@dataclass
class Count:
    """What one call or chunk costs. `bytecodes`, `entered`: of our own functions.

    `parts`: bytecodes by part; `functions`: bytecodes, times entered and name.
    """

    bytecodes: float
    entered: float
    parts: dict[str, float]
    functions: list[tuple[float, float, str]]
    instructions: float | None = None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="call,chunk", help="call, chunk or both")
    parser.add_argument("--bytecodes", action="store_true", help="without valgrind")
    parser.add_argument("--functions", type=int, default=0, help="list the N dearest functions")
    parser.add_argument("--check", action="store_true", help="compare with bench/cost.json")
    parser.add_argument("--write", action="store_true", help="write bench/cost.json")
    options = parser.parse_args()
    quick = options.bytecodes or options.check or options.write
    counts = {}
    for what in options.only.split(","):
        rounds = ROUNDS if options.check or options.write else 1
        counts[what] = min((counted(what) for _ in range(rounds)), key=lambda c: c.bytecodes)
        if not quick:
            counts[what].instructions = instructions_of(what)
        show(what, counts[what], options.functions)
    found = {what: round(count.bytecodes) for what, count in counts.items()}
    known = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    if options.write:
        BASELINE.write_text(json.dumps({**known, VERSION: found}, indent=2, sort_keys=True) + "\n")
    return compared(found, known.get(VERSION)) if options.check else 0


def compared(found: dict[str, int], known: dict[str, int] | None) -> int:
    """Print how the bytecodes compare with those of the last commit; return the exit status."""
    if known is None:
        print(f"bench/cost.json has no figures of Python {VERSION}: nothing to compare with.")
        return 0
    dearer = {what: number / known[what] for what, number in found.items() if what in known}
    for what, ratio in dearer.items():
        print(f"a {what}: {found[what]:,} bytecodes, before {known[what]:,}: {ratio:.3f}")
    if max(dearer.values()) <= ALLOWED:
        return 0
    print(
        f"Expected at most {ALLOWED} of what it cost. Make it cheaper; or, if it is worth it, say "
        "why in the commit and run `make cost ARGS=--write`."
    )
    return 1


def show(what: str, count: Count, functions: int) -> None:
    line = f"a {what}: {count.bytecodes:,.0f} bytecodes of ours, {count.entered:,.0f} frames"
    if count.instructions is not None:
        line += f", {count.instructions:,.0f} instructions"
    print(line)
    for part, number in sorted(count.parts.items(), key=lambda item: -item[1]):
        print(f"  {part:12} {number:7,.0f}  {number / count.bytecodes:4.0%}")
    for number, entered, name in count.functions[:functions]:
        print(f"  {number:7.1f} {entered:6.2f} x {name}")


def counted(what: str) -> Count:
    """Return the bytecodes of one call or chunk."""
    with tempfile.TemporaryDirectory() as folder:
        results = [Path(folder) / f"{name}.json" for name in ("work", "idle")]
        program = [sys.executable, str(HERE / "counted_program.py"), *map(str, results)]
        with proxy(program, Path(folder)) as (process, step):
            repeat(step(what), WARM_UP)
            settle(process)
            began = time.monotonic()
            with counting(process, results[0]):
                repeat(step(what), COUNTED[what])
            took_s = time.monotonic() - began
            with counting(process, results[1]):
                time.sleep(took_s)
        work, idle = (by_function(result) for result in results)
    return summed(work, idle, COUNTED[what])


@contextmanager
def counting(process: subprocess.Popen[bytes], result: Path) -> Iterator[None]:
    process.send_signal(signal.SIGUSR1)
    time.sleep(SIGNAL_S)
    yield
    process.send_signal(signal.SIGUSR2)
    wait_for(result.exists, process)
    time.sleep(SIGNAL_S)  # it may exist before it is whole


def by_function(result: Path) -> dict[str, tuple[int, int]]:
    """Return bytecodes and how often it was entered, of each function."""
    return {name: (number, entered) for name, number, entered in json.loads(result.read_text())}


def summed(work: dict[str, tuple[int, int]], idle: dict[str, tuple[int, int]], calls: int) -> Count:
    """Return what one of the calls cost, less what was done in the idle time."""
    parts: dict[str, float] = defaultdict(float)
    functions = []
    for name, (number, entered) in work.items():
        of_idle = idle.get(name, (0, 0))
        own = max(0, number - of_idle[0]) / calls
        parts[part_of(name)] += own
        functions.append((own, max(0, entered - of_idle[1]) / calls, name))
    # Libraries work in batches, whose number differs from run to run.
    return Count(
        sum(parts.values()) - parts[LIBRARIES],
        sum(times for _, times, name in functions if part_of(name) != LIBRARIES),
        dict(parts),
        sorted(functions, reverse=True),
    )


def part_of(function: str) -> str:
    """Return the part of a function, which is named as `rules/body.py:53 peek`."""
    if function.startswith("/"):
        return LIBRARIES
    for part, beginnings in PARTS.items():
        if function.startswith(beginnings):
            return part
    return "others"


def instructions_of(what: str) -> float:
    """Return the instructions of one call or chunk in the whole process, less what idling takes."""
    for tool in ("valgrind", "callgrind_control"):
        if shutil.which(tool) is None:
            raise SystemExit(f"{tool} is missing: apt install valgrind, or add --bytecodes.")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind.out"
        program = [
            "valgrind",
            "--tool=callgrind",
            "--instr-atstart=no",
            f"--callgrind-out-file={out}",
        ]
        with proxy([*program, sys.executable, "-m", "llmproxy"], Path(folder)) as (process, step):
            repeat(step(what), WARM_UP)
            settle(process)
            control(process, "--instr=on")
            began = time.monotonic()
            repeat(step(what), COUNTED[what])
            took_s = time.monotonic() - began
            control(process, "--dump=work")
            time.sleep(took_s)
            control(process, "--dump=idle")
        work, idle = (total_of(Path(f"{out}.{number}")) for number in (1, 2))
    return (work - idle) / COUNTED[what]


def control(process: subprocess.Popen[bytes], order: str) -> None:
    subprocess.run(["callgrind_control", order, str(process.pid)], check=True, capture_output=True)


def total_of(dump: Path) -> int:
    """Return the instructions in a dump of callgrind."""
    for line in dump.read_text(errors="replace").splitlines():
        if line.startswith(("summary: ", "totals: ")):
            return int(line.split()[1])
    raise SystemExit(f"{dump.name} has no totals.")


@contextmanager
def proxy(
    program: list[str], folder: Path
) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[str], Callable[[], None]]]]:
    """Run a proxy between a client and an endpoint; yield it, and how to get what is repeated."""
    endpoint, port = Endpoint(), one_by_one.free_port()
    config = folder / "llmproxy.yaml"
    config.write_text(CONFIG.format(port=port, model=MODEL, endpoint=endpoint.port))
    environ = {"XDG_STATE_HOME": str(folder / "state"), "PYTHONHASHSEED": "0"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*program, "serve", "--config", str(config)],
            cwd=HERE.parent,
            env={**os.environ, **environ},
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
    try:
        pair = None

        def connected() -> bool:
            nonlocal pair
            try:
                pair = Pair(port, endpoint, body_bytes=BODY_BYTES)
            except OSError:
                return False
            return True

        wait_for(connected, process)
        assert pair is not None
        yield process, lambda what: pair.call if what == CALL else pair.chunk
        pair.close()
    except ProxyEnded:
        raise SystemExit((folder / "log").read_text(errors="replace")[-2000:]) from None
    finally:
        process.kill()
        process.wait()


def wait_for(is_so: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    ends_at = time.monotonic() + STARTED_WITHIN_S
    while not is_so():
        if process.poll() is not None or time.monotonic() > ends_at:
            raise ProxyEnded
        time.sleep(0.1)


def settle(process: subprocess.Popen[bytes]) -> None:
    """Wait until what a start leaves for later is done."""
    before = -IDLE_TICKS
    while (now := ticks_of(process.pid)) - before >= IDLE_TICKS:
        before = now
        time.sleep(1.0)


def ticks_of(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def repeat(step: Callable[[], None], times: int) -> None:
    for _ in range(times):
        step()


if __name__ == "__main__":
    sys.exit(main())
