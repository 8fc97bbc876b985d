"""make bench-peers: what a call and a chunk cost in LLMProxy, nginx and other gateways, in one run.

Each is a pass-through to the same upstream, alone on one core when its turn comes; the load and
the upstream share the other core. The gateways are those that come from PyPI. One that does not
bring a call and a stream through whole is named with its reason and left out. `make` gives the
run a network of its own, because ferrogw listens on every address.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import signal
import sys
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import load
import measure
import report
import run
import upstream
from load import Address, Streams
from measure import Plan, Sheet, Target
from processes import BenchError, Started, busy_share, cpu_times, free_port, missing_tools
from run import HERE, KEY, LIMITS, MODEL, WORK

from llmproxy.interpreter import this_build

if TYPE_CHECKING:
    from collections.abc import Callable

Samples = dict[str, dict[str, list[float]]]  # microseconds, by row and target
PROGRAMS = HERE.parent / ".venv-peers" / "bin"
SIZES_KB = (1, 16, 128)
CONNECTIONS, CHUNK_INTERVAL_MS = 32, 20
CALL_1_KB, CHUNK = "a call, 1 kB", "a relayed chunk"
BASE = "rolter"  # what all are compared with
SAID = "Explain in plain words what a reverse proxy does and when one is of use. "
START_S = 40  # vllm-router and smg look at their endpoint first
LIMIT_S = 15 * 60
NO_EXTRAS = ["--policy", "round_robin", "--disable-retries", "--disable-circuit-breaker"]
ROLTER = """\
[[providers]]
name = "bench"
kind = "openai_compatible"
api_base = "http://127.0.0.1:{upstream}/v1"

[[routes]]
model = "{model}"

[[routes.targets]]
provider = "bench"
model = "{model}"
"""
FERROGW = "strategy: {mode: fallback}\ntargets: [{virtual_key: openai}]\n"


def rolter(vendor: int, port: int) -> list[str]:
    config = WORK / "rolter.toml"
    config.write_text(ROLTER.format(upstream=vendor, model=MODEL))
    command = [str(PROGRAMS / "rolter"), "gateway", "--config", str(config)]
    return [*command, "--host", "127.0.0.1", "--port", str(port)]


def smg(vendor: int, port: int) -> list[str]:
    return [*router([str(PROGRAMS / "smg"), "launch"], vendor, port), "--disable-health-check"]


def vllm_router(vendor: int, port: int) -> list[str]:
    return router([str(PROGRAMS / "vllm-router")], vendor, port)


def router(program: list[str], vendor: int, port: int) -> list[str]:
    command = [*program, "--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    command += ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port())]
    return [*command, "--worker-urls", f"http://127.0.0.1:{vendor}", *NO_EXTRAS]


def ferrogw(vendor: int, port: int) -> list[str]:
    config = WORK / "ferrogw.yaml"
    config.write_text(FERROGW)
    settings = {
        "PORT": port,
        "GATEWAY_CONFIG": config,
        "OPENAI_API_KEY": "sk-bench",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{vendor}",
        "MASTER_KEY": "sk-client",
        "ALLOW_UNAUTHENTICATED_PROXY": "true",
        "RATE_LIMIT_RPS": 10_000_000,
        "RATE_LIMIT_BURST": 10_000_000,
    }
    environment = [f"{name}={value}" for name, value in settings.items()]
    return ["env", *environment, str(PROGRAMS / "ferrogw"), "serve"]


PEERS: dict[str, Callable[[int, int], list[str]]] = {
    "rolter": rolter,
    "vllm-router": vllm_router,
    "smg": smg,
    "ferrogw": ferrogw,
}
NAMES = ("nginx", "LLMProxy", *PEERS)


def target_of(name: str, vendor: int, core: int) -> Target:
    ports = {"chat_port": vendor, "stream_port": vendor}
    if name == "nginx":
        return run.nginx_target(ports, core)
    if name == "LLMProxy":
        return run.llmproxy_target(name, ports, core, key=KEY, limits=LIMITS)
    port = free_port()
    command = PEERS[name](vendor, port)
    address = Address(port, MODEL)
    return Target(
        name,
        address,
        address,
        Sheet(name),
        start=lambda stdout: Started(
            name, command, core=core, log=WORK / f"{name}.log", stdout=stdout
        ),
    )


def check(target: Target) -> None:
    """Wait until a call comes through whole; then see that a stream does. Raises BenchError."""
    said = json.loads(upstream.ANSWER)["choices"][0]["message"]["content"]
    give_up_at = time.monotonic() + START_S
    found = "no connection"
    while True:
        target.running.check_alive()
        try:
            status, body = load.ask(target.chat)
            found = f"{status} {body[:200]!r}"
            if status == 200 and json.loads(body)["choices"][0]["message"]["content"] == said:
                break
        except (OSError, http.client.HTTPException) as error:
            found = repr(error)
        except (ValueError, LookupError, TypeError):
            pass  # no chat answer: `found` has it
        if time.monotonic() > give_up_at:
            raise BenchError(f"no whole answer within {START_S} s; last: {found}")
        time.sleep(0.1)

    async def whole_streams() -> None:
        streams = Streams(target.stream, count=2, chunks=10, interval_ms=CHUNK_INTERVAL_MS)
        try:
            await streams.start()
            await streams.finish()
        finally:
            streams.close()

    load.on_uvloop(whole_streams())


def call_cpu_us(target: Target, size_kb: int, seconds: float, core: int) -> float:
    """CPU microseconds per call with a body of that size, wrk at full speed."""
    text = (SAID * (size_kb * 1000 // len(SAID) + 1))[: size_kb * 1000 - 120]
    more = {} if size_kb == 1 else {"messages": [{"role": "user", "content": text}]}
    before_us = target.running.cpu_us()
    burst = load.wrk(
        replace(target.chat, more=more),
        connections=CONNECTIONS,
        seconds=seconds,
        work=WORK,
        core=core,
    )
    return (target.running.cpu_us() - before_us) / burst.requests


def one_turn(target: Target, plan: Plan, core: int, samples: Samples) -> None:
    """Everything once, of one target."""
    for size_kb in SIZES_KB:
        used_us = call_cpu_us(target, size_kb, plan.wrk_s, core)
        samples[f"a call, {size_kb} kB"][target.sheet.name].append(used_us)
    measure.chunks(target, plan, interval_ms=CHUNK_INTERVAL_MS)
    samples[CHUNK][target.sheet.name] = target.sheet.cpu_per_chunk[CHUNK_INTERVAL_MS]
    for note in target.sheet.notes:  # it did not keep the pace
        run.say(note)
    target.sheet.notes.clear()


def measured(names: list[str], plan: Plan) -> tuple[Samples, dict[str, str]]:
    """The samples, and who was left out with the reason."""
    proxy_core, load_core = run.two_cores()
    os.sched_setaffinity(0, {load_core})
    samples: Samples = defaultdict(lambda: defaultdict(list))
    left_out: dict[str, str] = {}
    vendor = free_port()
    script = [sys.executable, str(HERE / "upstream.py"), str(vendor)]
    with ExitStack() as stack:
        log = WORK / "peers-upstream.log"
        process = stack.enter_context(Started("upstream", script, core=load_core, log=log))
        load.until_listening(Address(vendor, MODEL), process)
        targets = []
        for name in names:
            target = target_of(name, vendor, proxy_core)
            target.process = stack.enter_context(target.fresh())
            run.say(f"is whole? {name}")
            try:
                check(target)
            except BenchError as error:
                left_out[name] = str(error)
                target.running.close()
            else:
                targets.append(target)
        for number in range(plan.rounds):
            run.say(f"round {number + 1} of {plan.rounds}")
            for target in targets[:: -1 if number % 2 else 1]:
                try:
                    one_turn(target, plan, load_core, samples)
                except BenchError as error:
                    left_out[target.sheet.name] = f"in round {number + 1}: {error}"
                    target.running.close()
            targets = [target for target in targets if target.sheet.name not in left_out]
    return samples, left_out


def table(samples: Samples, left_out: dict[str, str]) -> str:
    """Ratios first, then microseconds; medians over the rounds."""
    names = [name for name in NAMES if name not in left_out and name in samples[CALL_1_KB]]
    middle = {
        row: {name: median(found) for name in names if (found := by_target.get(name))}
        for row, by_target in samples.items()
    }
    parts = []
    if BASE in names:
        parts += [f"CPU time as a share of {BASE}'s:\n", *rows(middle, names, BASE), ""]
    parts += ["CPU time in us:\n", *rows(middle, names)]
    parts += [f"\nLeft out: {name}: {reason}" for name, reason in left_out.items()]
    return "\n".join(parts)


def rows(middle: dict[str, dict[str, float]], names: list[str], base: str = "") -> list[str]:
    """The lines of a table; `-` is what could not be measured."""
    lines = [f"| | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for row, cells in middle.items():
        texts = ["-"] * len(names)
        for number, name in enumerate(names):
            if name in cells and not base:
                texts[number] = f"{cells[name]:.0f}"
            elif name in cells and base in cells:
                texts[number] = f"{cells[name] / cells[base]:.2f}"
        lines.append(f"| {row} | {' | '.join(texts)} |")
    return lines


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-peers", description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement in a round")
    parser.add_argument("--only", default=",".join(NAMES), metavar="A,B", help="some of the names")
    options = parser.parse_args()
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(NAMES):
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(NAMES)}")
    return options


def main() -> int:
    options = parsed()
    if missing := missing_tools():
        print(f"make bench-peers needs {', '.join(missing)}: apt-get install {' '.join(missing)}")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `with` blocks end
    signal.signal(signal.SIGALRM, lambda *_: sys.exit("bench: The run took too long."))
    signal.alarm(LIMIT_S)
    WORK.mkdir(exist_ok=True)
    os.environ["XDG_STATE_HOME"] = str(run.STATE)
    run.enough_open_files()
    before = cpu_times()
    time.sleep(1)
    busy = busy_share(before, cpu_times())
    plan = Plan(options.rounds, options.seconds, options.seconds, paced_s=0, starts=0)
    try:
        samples, left_out = measured(options.only, plan)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    text = table(samples, left_out)
    machine = report.machine(busy_before=busy, stolen=0)
    build = f"Python {platform.python_version()}, {this_build().in_words()}"
    where = f"{build}; {machine['CPU']}; {machine['busy before the run']} busy before the run"
    text = f"{text}\n\nLLMProxy on {where}; {options.rounds} rounds.\n"
    (WORK / "peers.md").write_text(text)
    print(f"\n{text}\nWritten: {Path('bench/work/peers.md')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
