"""make bench: nginx proxy_pass, LLMProxy and direct, side by side, in one run on pinned cores.

The proxy under test has one core for itself; the load and the vendors share the other one. All of
it is on loopback, bounded in time, and every process started here is ended here. A full run of
everything writes bench/RESULTS.md and bench/results.png; `--quick` or `--only` is for looking, so
it writes to bench/work instead.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import all_of_it
import load
import measure
import report
import rows
import upstream
from all_of_it import PLAIN
from load import Address
from measure import BLIND, HIT, MISS, UNCOUNTED, WATCHED, Plan, Sheet, Target
from processes import (
    BenchError,
    Started,
    busy_share,
    cpu_times,
    find_tool,
    free_port,
    missing_tools,
    stolen_share,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HERE = Path(__file__).resolve().parent
WORK = HERE / "work"
STATE = WORK / "state"  # of the proxies
NAMES = ("direct", "nginx", "llmproxy", "blind", "hit", "miss", "uncounted", "watched")
PAIR = "all_of_it"  # two proxies that are measured against each other only
MODEL, STREAM_MODEL = "gpt-4.1", "gpt-4.1-stream"  # a stream's vendor is another process
ROWS = "rows"  # all of bench/rows.py
ROWS_LIMIT_S, LAST_GROUP_S = 15 * 60, 90
LIMIT_S = {False: 10 * 60, True: 120}  # by `--quick`
REPORT_S = 5  # what is left of the limit for the report
OPEN_FILES = 8192  # 1,000 streams, twice, and room
PROXY_CONFIG = """\
model_groups:
  - model_group: {model}
    models:
      - model: {model}
        params: {{{key}base_url: "http://127.0.0.1:{port}/v1/"}}
{limits}
  - model_group: {stream_model}
    models:
      - model: {stream_model}
        params: {{{key}base_url: "http://127.0.0.1:{stream_port}/v1/"}}
{limits}
"""
SCRIPTS = {UNCOUNTED: "uncounted.py", PLAIN: "plain.py"}  # start a proxy that lacks something
KEY = "api_key: sk-bench, "
CACHE = "general_settings: {cache: true, cache_params: {mode: all}}\n"
LIMITS = "        limits: {rpm: 60000000, tpm: 60000000000, concurrent: 100000}"


def main() -> int:
    options = parsed()
    if missing := missing_tools():
        print(f"make bench needs {', '.join(missing)}. On Debian or Ubuntu, as root:")
        print(f"    apt-get install {' '.join(missing)}")
        print("nginx need not run as a service: systemctl disable --now nginx")
        return 2
    signal.signal(signal.SIGALRM, _too_late)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `with` blocks end
    chosen = [group for group in rows.GROUPS if {ROWS, group} & set(options.only)]
    signal.alarm(ROWS_LIMIT_S if chosen else LIMIT_S[options.quick])
    try:
        if chosen:
            row_by_row(options, chosen)
        else:
            run(options)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def row_by_row(options: argparse.Namespace, groups: list[str]) -> None:
    """The rows of bench/rows.py."""
    from row_by_row import measured as rows_measured  # noqa: PLC0415 - it starts what is here

    enough_open_files()
    WORK.mkdir(exist_ok=True)
    os.environ["XDG_STATE_HOME"] = str(STATE)
    busy_before()
    rounds, until = options.rounds or 3, time.monotonic() + ROWS_LIMIT_S - LAST_GROUP_S
    seconds = 1 if options.quick else 3
    text = rows_measured(groups, rounds=rounds, seconds=seconds, until=until)
    (WORK / "rows.md").write_text(text)
    print(f"\n{text}\nWritten: {WORK.relative_to(HERE.parent)}/rows.md")


def run(options: argparse.Namespace) -> None:
    """The whole benchmark, in its order."""
    began = time.monotonic()
    plan = measure.QUICK if options.quick else measure.FULL
    plan = replace(plan, rounds=options.rounds or plan.rounds)
    proxy_core, load_core = two_cores()
    os.sched_setaffinity(0, {load_core})
    enough_open_files()
    WORK.mkdir(exist_ok=True)
    os.environ["XDG_STATE_HOME"] = str(STATE)
    busy = busy_before()
    with ExitStack() as stack:
        ports = vendors(stack, load_core)
        targets = ready(ports, options.only, proxy_core)
        before = cpu_times()
        until = began + LIMIT_S[options.quick] - all_of_it.TAKES_S[options.quick]
        rounds = measured(targets, plan, load_core, until=until) if targets else 0
        took_s, stolen = time.monotonic() - began, stolen_share(before, cpu_times())
        pair = None
        if PAIR in options.only:
            made = pair_of_targets(ports, proxy_core)
            pair = all_of_it.measured(made, quick=options.quick, work=WORK, core=load_core)
    machine = report.machine(busy_before=busy, stolen=stolen)
    arguments = " ".join(sys.argv[1:])
    command = f'make bench ARGS="{arguments}"' if arguments else "make bench"
    if targets:
        sheets = [target.sheet for target in targets]
        record = report.Record(sheets, plan, rounds, machine, command, took_s)
        whole = not options.quick and set(NAMES) <= set(options.only)
        report.write(record, HERE if whole else WORK)
    if pair is not None:
        text = all_of_it.section(pair, command, machine)
        print(f"\n{text}")
        all_of_it.put_into((WORK if options.quick else HERE) / "RESULTS.md", text)


def measured(targets: list[Target], plan: Plan, load_core: int, *, until: float) -> int:
    """Start-up and memory first, then the rounds, in which targets take turns.

    Returns how many rounds there was time for before `until` (on the monotonic clock).
    """
    proxies = [target for target in targets if target.start]
    for target in proxies:
        if target.compared:
            continue
        say(f"start-up and memory: {target.name}")
        measure.start_up(target, plan, WORK)
        measure.memory(target)
    with measure.all_running(proxies):
        for target in targets:  # warm up: not recorded
            load.wrk(target.chat, connections=32, seconds=1, work=WORK, core=load_core)
        for number in range(plan.rounds):
            began = time.monotonic()
            say(f"round {number + 1} of {plan.rounds}")
            one_round(targets, plan, load_core)
            now = time.monotonic()
            if now + 1.1 * (now - began) > until - REPORT_S:
                return number + 1
    return plan.rounds


def one_round(targets: list[Target], plan: Plan, load_core: int) -> None:
    """Everything once; the fixed rate, which suffers most from the machine's moods, twice."""
    measure.fixed_rate(targets, plan)
    for target in targets:
        measure.full_speed(target, plan, WORK, load_core)
    for interval_ms in measure.CHUNK_INTERVALS_MS:
        for target in targets:
            if target.process and not target.compared:
                measure.chunks(target, plan, interval_ms=interval_ms)
    measure.fixed_rate(targets, plan)


def vendors(stack: ExitStack, load_core: int) -> dict[str, int]:
    """Start the two vendors on the load core; return their ports."""
    ports = {"chat_port": free_port(), "stream_port": free_port()}
    chat, stream = Address(ports["chat_port"], MODEL), Address(ports["stream_port"], STREAM_MODEL)
    config = filled("nginx-upstream.conf", {**ports, "answer": upstream.ANSWER})
    vendor = stack.enter_context(nginx("vendor", config, load_core, None))
    script = [sys.executable, str(HERE / "upstream.py"), str(stream.port)]
    log = WORK / "stream-vendor.log"
    streams = stack.enter_context(Started("stream vendor", script, core=load_core, log=log))
    measure.first_answer(Target("direct", chat, stream, Sheet("direct")), vendor)
    load.until_listening(stream, streams)
    return ports


def ready(ports: dict[str, int], only: list[str], proxy_core: int) -> list[Target]:
    """Describe the targets, direct first."""
    chat, stream = Address(ports["chat_port"], MODEL), Address(ports["stream_port"], STREAM_MODEL)
    direct = Target("direct", chat, stream, Sheet("direct"))
    build: dict[str, Callable[[], Target]] = {
        "direct": lambda: direct,
        "nginx": lambda: nginx_target(ports, proxy_core),
        "llmproxy": lambda: llmproxy_target("LLMProxy", ports, proxy_core, key=KEY, limits=LIMITS),
        "blind": lambda: llmproxy_target(BLIND, ports, proxy_core),
        "hit": lambda: llmproxy_target(HIT, ports, proxy_core, key=KEY, limits=LIMITS, more=CACHE),
        "miss": lambda: llmproxy_target(
            MISS, ports, proxy_core, key=KEY, limits=LIMITS, more=CACHE
        ),
        "uncounted": lambda: llmproxy_target(UNCOUNTED, ports, proxy_core, key=KEY, limits=LIMITS),
        "watched": lambda: llmproxy_target(WATCHED, ports, proxy_core, key=KEY, limits=LIMITS),
    }
    return [build[name]() for name in NAMES if name in only]


def pair_of_targets(ports: dict[str, int], core: int) -> tuple[Target, Target]:
    """Describe the plain proxy and the one with all of it on."""
    shutil.rmtree(STATE, ignore_errors=True)
    on = all_of_it.ON.format(database=STATE / "all.sqlite")
    limits = f"{LIMITS}\n{all_of_it.PRICE}"
    plain = llmproxy_target(PLAIN, ports, core, key=KEY, limits=LIMITS, more=all_of_it.OFF)
    everything = llmproxy_target(all_of_it.ALL, ports, core, key=KEY, limits=limits, more=on)
    all_of_it.make_key_at_start(everything)
    for target in (plain, everything):
        target.chat = replace(target.chat, more=all_of_it.LABELS)
    return plain, everything


def nginx_target(ports: dict[str, int], core: int) -> Target:
    own = {"proxy_chat_port": free_port(), "proxy_stream_port": free_port()}
    config = filled("nginx-proxy.conf", {**ports, **own})
    return Target(
        "nginx",
        Address(own["proxy_chat_port"], MODEL),
        Address(own["proxy_stream_port"], STREAM_MODEL),
        Sheet("nginx"),
        start=lambda stdout: nginx("nginx", config, core, stdout),
    )


def llmproxy_target(
    name: str, ports: dict[str, int], core: int, *, key: str = "", limits: str = "", more: str = ""
) -> Target:
    """As a container would run it: everything default, stdout (the access log) no terminal."""
    label = name.removeprefix("LLMProxy, ").replace(" ", "-").lower()
    config = WORK / f"{label}.yaml"
    config.write_text(
        PROXY_CONFIG.format(
            model=MODEL,
            stream_model=STREAM_MODEL,
            port=ports["chat_port"],
            stream_port=ports["stream_port"],
            key=key,
            limits=limits,
        )
        + more
    )
    return serving(name, label, config, core)


def serving(
    name: str, label: str, config: Path, core: int | str, more: tuple[str, ...] = ()
) -> Target:
    """An LLMProxy with that config. `core`: a number, or several as taskset has them."""
    port = free_port()
    program = Path(sys.executable).with_name("llmproxy")
    if not program.exists():
        raise BenchError(
            "The command llmproxy is not installed beside this Python: run make setup."
        )
    started = [sys.executable, str(HERE / SCRIPTS[name])] if name in SCRIPTS else [str(program)]
    command = [*started, "serve", "--config", str(config), *more]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    return Target(
        label,
        Address(port, MODEL),
        Address(port, STREAM_MODEL),
        Sheet(name),
        start=lambda stdout: Started(
            label, command, core=core, log=WORK / f"{label}.log", stdout=stdout
        ),
        logging=True,
    )


def nginx(name: str, config: Path, core: int, stdout: Path | None) -> Started:
    command = [find_tool("nginx") or "nginx", "-e", "stderr", "-p", str(WORK), "-c", str(config)]
    return Started(name, command, core=core, log=WORK / f"{name}.log", stdout=stdout)


def filled(template: str, values: Mapping[str, object]) -> Path:
    """The template with each @name@ replaced, in the work folder."""
    text = (HERE / template).read_text()
    for name, value in {"work": str(WORK), **values}.items():
        text = text.replace(f"@{name}@", str(value))
    config = WORK / template
    config.write_text(text)
    return config


def two_cores() -> tuple[int, int]:
    """One for the proxy, one for everything else."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BenchError("Two cores are needed, one of them for the proxy alone; found one.")
    return cores[0], cores[1]


def enough_open_files() -> None:
    """Raise the soft limit for this process and those that it starts."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < OPEN_FILES:
        raise BenchError(
            f"{OPEN_FILES} open files are needed for 1,000 streams; the hard limit is {hard}. "
            "Raise it (ulimit -Hn) and try again."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, hard))


def busy_before() -> float:
    """How busy the machine is without us (0 to 1); says so if that would spoil the figures."""
    before = cpu_times()
    time.sleep(1.0)
    busy = busy_share(before, cpu_times())
    if busy > 0.1:
        say(f"the machine is {busy:.0%} busy with something else: figures will be too high")
    return busy


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="under 2 minutes, for a first look")
    parser.add_argument(
        "--only",
        type=_names,
        default=[*NAMES, PAIR],
        metavar="A,B",
        help=f"some of {','.join((*NAMES, PAIR))}; without direct there is no added latency. Or "
        f"some of {','.join(rows.GROUPS)}; {ROWS}: all of these",
    )
    parser.add_argument("--rounds", type=int, help="default: 5; of rows 3")
    return parser.parse_args()


def say(text: str) -> None:
    print(f"bench: {text}", flush=True)


def _names(text: str) -> list[str]:
    names = text.split(",")
    every = (*NAMES, PAIR, ROWS, *rows.GROUPS)
    if unknown := set(names) - set(every):
        known = ", ".join(every)
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {known}")
    return names


def _too_late(*_: object) -> None:
    # Not a BenchError: an event loop swallows any Exception that lands in one of its callbacks.
    sys.exit("bench: The run took too long and was ended; is the machine busy?")


if __name__ == "__main__":
    sys.exit(main())
