"""`llmproxy explain`: its options; the work is in explanation.py."""

from __future__ import annotations

import argparse

from llmproxy.tools.command_parser import Commands, add_config, add_url

EXAMPLES = (
    "llmproxy explain --model gpt-4.1",
    "llmproxy explain --model gpt-4.1 --tokens 20000 --caller search",
)


def add_commands(commands: Commands) -> list[argparse.ArgumentParser]:
    """Add the command; return its parser."""
    explain: argparse.ArgumentParser = commands.add_parser(
        "explain",
        help="show where a call would go now, without sending it",
        description="Show where a call would go now, without sending it, according to the running "
        "proxy; if none is running, according to the config, for a proxy that has just started.",
        examples=EXAMPLES,
    )
    add_config(explain, also_plain=True)
    explain.add_argument("--model", required=True, help="the model that a client would name")
    explain.add_argument(
        "--tokens", type=_count, default=0, metavar="N", help="input tokens plus the output limit"
    )
    explain.add_argument(
        "--caller", metavar="NAME", help="the caller: its aliases, and only its groups"
    )
    add_url(explain)
    return [explain]


def run(options: argparse.Namespace) -> int:
    """Print where the call would go. Raises ConfigError."""
    from llmproxy.tools.explanation import run  # noqa: PLC0415 - slow to import

    return run(options)


def _count(text: str) -> int:
    """Parse a number of tokens."""
    if not text.isdecimal() or len(text) > 12:
        raise argparse.ArgumentTypeError(f"expected a number of tokens, found {text!r}")
    return int(text)
