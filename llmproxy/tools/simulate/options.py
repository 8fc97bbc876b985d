"""The options of `llmproxy simulate`. Imports nothing heavy, so that every command starts fast."""

from __future__ import annotations

import argparse
from math import isfinite
from pathlib import Path

from llmproxy.tools.command_parser import Commands, add_config

DESCRIPTION = """\
Try a config against modelled endpoints, with the proxy's own rules and a simulated clock. Nothing
is sent, and no keys are needed. The report shows the share of each endpoint and tier, the 429s that
clients would get, the waits and the cost. See docs/guides/simulation.md."""
TURNS = """\
the calls of --rate are conversations of N turns, each longer than the one before by --tokens; the
report shows what prompt caches hold of them, also without affinity (1)"""
CALLS = """\
calls to replay: CSV with a header row, or JSON lines, with at_s, model_group, input_tokens,
output_tokens and optionally max_output_tokens; or the proxy's own access log (JSON)"""


EXAMPLES = (
    "llmproxy simulate --rate 20",
    "llmproxy simulate --rate 10x300,60x60 --tokens 2000:300 --plot picture.svg",
    "llmproxy simulate --calls access.log --model model.yaml",
)


def add_commands(commands: Commands) -> list[argparse.ArgumentParser]:
    """Add the command; return its parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "simulate",
        help="try a config against modelled endpoints",
        description=DESCRIPTION,
        examples=EXAMPLES,
    )
    add_config(parser, also_plain=True)
    traffic = parser.add_mutually_exclusive_group(required=True)
    traffic.add_argument("--calls", type=Path, metavar="FILE", help=CALLS)
    traffic.add_argument(
        "--rate",
        type=_steps,
        metavar="R",
        help="calls per second at random times; 10x300,24x60 means 10 for 300 s, then 24 for 60 s",
    )
    parser.add_argument(
        "--seconds", type=_positive, default=600.0, metavar="S", help="duration of --rate (600)"
    )
    parser.add_argument(
        "--tokens",
        type=_tokens,
        default=(500, 200),
        metavar="IN:OUT",
        help="tokens of each call, unless the recorded call gives them (500:200)",
    )
    parser.add_argument(
        "--caller", metavar="NAME", help="the caller of all calls: its aliases, and only its groups"
    )
    parser.add_argument("--turns", type=_count, default=1, metavar="N", help=TURNS)
    parser.add_argument("--group", help="the model group for --rate (default: all, evenly)")
    parser.add_argument(
        "--model", type=Path, metavar="FILE", help="YAML: latency, limits, outages of endpoints"
    )
    parser.add_argument(
        "--instances",
        type=_count,
        default=1,
        metavar="N",
        help="number of proxies that share their limits (1)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="the same seed gives the same run (0)"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="write a picture, too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return [parser]


def run(options: argparse.Namespace) -> int:
    """Simulate, and print the report. Raises ConfigError."""
    from llmproxy.tools.simulate.command import run  # noqa: PLC0415 - slow to import

    return run(options)


def _steps(text: str) -> list[tuple[float, float | None]]:
    steps: list[tuple[float, float | None]] = []
    for step in text.split(","):
        rate, by, seconds = step.partition("x")
        try:
            steps.append((_positive(rate), _positive(seconds) if by else None))
        except argparse.ArgumentTypeError:
            message = f"expected a rate such as 20, or 20x300,40x60; found {text!r}"
            raise argparse.ArgumentTypeError(message) from None
    return steps


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not (isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text!r}")
    return number


def _tokens(text: str) -> tuple[int, int]:
    into, _, out = text.partition(":")
    if not (into.isdecimal() and out.isdecimal()):
        raise argparse.ArgumentTypeError(f"expected IN:OUT such as 500:200, found {text!r}")
    return int(into), int(out)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, found {text!r}")
    return int(text)
