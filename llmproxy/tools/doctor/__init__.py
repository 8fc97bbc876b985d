"""`llmproxy doctor`: finds what is wrong with a config, this machine, its servers and endpoints.

`kinds` and `live_kinds` are the table of all that can be found. Checks are functions from facts to
findings; `examination` asks endpoints, `through` asks them once more through a proxy, `bytewise`
and `comparing` say what differs. See docs/decisions/067 and 073.
"""

from __future__ import annotations

import argparse

from llmproxy.tools.command_parser import Commands, add_config, add_url

EXAMPLES = (
    "llmproxy doctor",
    "llmproxy doctor --live",
    "llmproxy doctor --live --json --config /etc/llmproxy.yaml",
)
DESCRIPTION = """\
Look for what is wrong with a config, this machine, Redis and the database. With --live, ask each
endpoint, too: name, connection, certificate, key, model, limits, speed, and whether an answer is
the same through the proxy. That sends a few small calls, which cost a little; how many is said
before. Without --live no vendor is asked. Exit status: 0 = fine, 1 = warnings, 2 = faults."""


def add_commands(commands: Commands) -> list[argparse.ArgumentParser]:
    """Add the command; return its parser."""
    doctor: argparse.ArgumentParser = commands.add_parser(
        "doctor",
        help="find what is wrong with a config, its servers and endpoints",
        description=DESCRIPTION,
        examples=EXAMPLES,
    )
    add_config(doctor)
    add_url(doctor)
    add = doctor.add_argument
    add("--live", action="store_true", help="ask the endpoints, too, by small calls")
    add("--json", action="store_true", help="print JSON")
    add("--model", metavar="NAME", help="the model to try where clients name any")
    add(
        "--timeout",
        type=_positive,
        default=30.0,
        metavar="S",
        help="seconds that each call may take (default: 30)",
    )
    add(
        "--slow",
        type=_positive,
        default=5.0,
        metavar="S",
        help="seconds above which a first byte is slow (default: 5)",
    )
    add("--workers", type=_workers, metavar="N", help="how many workers are to serve")
    return [doctor]


def run(options: argparse.Namespace) -> int:
    """Examine, and return the exit status."""
    from llmproxy.tools.doctor.command import run as run_command  # noqa: PLC0415 - slow to import

    return run_command(options)


def _workers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text[:4]) <= 100:
        raise argparse.ArgumentTypeError(f"expected a number of processes, 1 to 100: {text!r}")
    return int(text)


def _positive(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"expected seconds, above 0 and at most 3600: {text!r}")
    return seconds
