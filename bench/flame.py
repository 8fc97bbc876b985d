"""make flame: a flame graph of LLMProxy under load, sampled by py-spy into bench/work/flame.svg.

The width of a box is its share of the samples in which Python's lock was held: waiting threads and
system calls are not in them. uv installs py-spy apart; it needs root, or ptrace_scope 0.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from contextlib import ExitStack

import load
import measure
import run
from processes import BenchError
from row_by_row import Bench, llmproxy
from rows import Proxy

SETTLE_S = 3  # what a start leaves for later is done by then
PY_SPY = "py-spy==0.4.3"


def record(*, seconds: int, native: bool) -> None:
    """Draw the graph of whole calls. Raises BenchError."""
    proxy_core, load_core = run.two_cores()
    os.sched_setaffinity(0, {load_core})
    picture = run.WORK / "flame.svg"
    with ExitStack() as stack:
        bench = Bench(run.vendors(stack, load_core), proxy_core, load_core, seconds)
        target = llmproxy(Proxy(), bench)
        stack.enter_context(measure.all_running([target]))
        time.sleep(SETTLE_S)
        options = {"--rate": 200, "--duration": seconds, "--output": picture.name}
        command = [
            run.HERE.parent / ".venv/bin/uvx",
            "--from",
            PY_SPY,
            "py-spy",
            "record",
            "--gil",
            "--function",
        ]
        command += [word for pair in options.items() for word in pair]
        command += ["--native"] if native else []
        command += ["--pid", target.running.pid]
        sampler = subprocess.Popen(list(map(str, command)), cwd=run.WORK)
        try:
            # Longer than the samples: uv may have to fetch py-spy first.
            load.wrk(
                target.chat, connections=32, seconds=seconds + 5, work=run.WORK, core=load_core
            )
            if sampler.wait(60):
                raise BenchError(f"py-spy ended with {sampler.returncode}: what it wrote is above.")
        finally:
            sampler.kill()
    print(f"Written: {picture.relative_to(run.HERE.parent)}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make flame", description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--native", action="store_true", help="also C functions: uvloop, msgspec")
    options = parser.parse_args()
    run.enough_open_files()
    run.STATE.mkdir(parents=True, exist_ok=True)
    os.environ["XDG_STATE_HOME"] = str(run.STATE)
    try:
        record(seconds=options.seconds, native=options.native)
    except BenchError as error:
        print(f"flame: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
