"""`llmproxy check`: its options; the work is in checking.py."""

from __future__ import annotations

import argparse

from llmproxy.tools.command_parser import Commands, add_config

EXAMPLES = (
    "llmproxy check",
    "llmproxy check --config /etc/llmproxy.yaml",
    "llmproxy check --show",
    "llmproxy check --live",
)


def add_commands(commands: Commands) -> list[argparse.ArgumentParser]:
    """Add the command; return its parser."""
    check: argparse.ArgumentParser = commands.add_parser(
        "check",
        help="check a config file",
        description="Check a config file. The status is 0, or 2 with every error as file:line.",
        examples=EXAMPLES,
    )
    add_config(check, also_plain=True)
    check.add_argument(
        "--show", action="store_true", help="print the effective config, secrets masked"
    )
    check.add_argument("--json", action="store_true", help="print every error as JSON, for editors")
    check.add_argument(
        "--live",
        action="store_true",
        help="also ask each endpoint, by a small call, whether key and model are right",
    )
    return [check]


def run(options: argparse.Namespace) -> int:
    """Check, print what was found, and return the exit status. Raises ConfigError."""
    from llmproxy.tools.checking import run  # noqa: PLC0415 - slow to import

    return run(options)
