"""Run a simulated vendor until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Sequence

import uvloop

from llmproxy.tools.simulator.faults import Fault, parse_fault
from llmproxy.tools.simulator.settings import VendorSettings
from llmproxy.tools.simulator.vendor import serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal arrives; return the exit status."""
    options = vars(_parser().parse_args(arguments))
    faults = options.pop("fault")
    keys, models = frozenset(options.pop("key")), tuple(options.pop("model"))
    settings = VendorSettings(keys=keys or None, models=models or None, **options)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, faults))
    return 0


async def _serve(settings: VendorSettings, faults: list[Fault]) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, ended.set)
    async with serve(settings) as vendor:
        vendor.faults.extend(faults)
        print(f"{settings.name} listens on {vendor.root}", flush=True)  # noqa: T201 - its one line
        await ended.wait()


def _fault(spec: str) -> Fault:
    try:
        return parse_fault(spec)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m llmproxy.tools.simulator",
        description="A simulated vendor: OpenAI under /v1, Azure under /openai, with chats, "
        "completions, responses, embeddings and models. It prints one line with its address when "
        "it is ready. PUT /_simulator/faults takes a JSON list of faults, GET /_simulator/state "
        "returns the counters.",
    )
    add = parser.add_argument
    add("--name", default="simulator", help="its name in the state and in faults")
    add(
        "--dialect", choices=("any", "openai", "azure"), default="any", help="whose paths it serves"
    )
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=0, help="0: a free port")
    add("--key", action="append", default=[], help="an accepted key (default: any)")
    add("--model", action="append", default=[], help="a model that exists (default: every name)")
    add("--latency-s", type=float, default=0.0, metavar="S", help="seconds to the first token")
    add("--tokens-per-s", type=float, metavar="N", help="speed of a stream (default: no pauses)")
    add("--jitter", type=float, default=0.0, metavar="PART", help="0.2: pauses differ by 20 %%")
    add("--rpm", type=int, metavar="N", help="requests a minute for each model")
    add("--tpm", type=int, metavar="N", help="tokens a minute for each model")
    add("--answer-tokens", type=int, metavar="N", help="fill answers up to this length")
    add("--prompt-cache", action="store_true", help="cache and report prompts as OpenAI does")
    add("--compress", action="store_true", help="gzip for clients that accept it")
    add("--seed", type=int, metavar="N", help="repeat ids, pauses and random faults")
    add(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="SPEC",
        help="for example status:503;every=3",
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
