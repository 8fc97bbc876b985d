"""The options of `llmproxy top`. Imports nothing, so that every command starts fast."""

from __future__ import annotations

import argparse

from llmproxy.tools.command_parser import Commands, add_running_proxy

DESCRIPTION = """\
Watch a running proxy: its endpoints, its latest calls, its traffic. q or Ctrl+C quits. The
admin_key is read from the config, or from the variable LLMPROXY_ADMIN_KEY."""
ONCE = """\
print the current state once, as plain text if the output is not a terminal; exit status: 0 if the
proxy is ok or degraded, 1 if it is down, draining or unreachable, 2 if it rejects the request"""


EXAMPLES = (
    "llmproxy top",
    "llmproxy top --url https://llm.example.com --group gpt-4.1",
    "llmproxy top --once",
)


def add_commands(commands: Commands) -> list[argparse.ArgumentParser]:
    """Add the command; return its parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "top",
        help="watch a running proxy in the terminal",
        description=DESCRIPTION,
        examples=EXAMPLES,
    )
    add_running_proxy(parser)
    parser.add_argument("--group", metavar="NAME", help="show only this model group")
    parser.add_argument("--once", action="store_true", help=ONCE)
    return [parser]


def run(options: argparse.Namespace) -> int:
    """Watch. Raises ConfigError."""
    from llmproxy.tools.top.command import run  # noqa: PLC0415 - rich is slow to import

    return run(options)
