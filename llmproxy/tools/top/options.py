"""The options of `llmproxy top`. Imports nothing, so that every command starts fast."""

from __future__ import annotations

import argparse
from pathlib import Path

DESCRIPTION = """\
Watch a running proxy: its endpoints, its latest calls, its traffic. q or Ctrl+C quits. The
admin_key is read from the config, or from the variable LLMPROXY_ADMIN_KEY."""
ONCE = """\
print the current state once, as plain text if the output is not a terminal; exit status: 0 if the
proxy is ok or degraded, 1 if it is down, draining or unreachable, 2 if it rejects the request"""


def add_command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> argparse.ArgumentParser:
    """Add `llmproxy top` to the commands."""
    parser = commands.add_parser(
        "top", help="watch a running proxy in the terminal", description=DESCRIPTION
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="the proxy's YAML file")
    parser.add_argument("--url", help="the address of the proxy (default: from its config)")
    parser.add_argument("--group", metavar="NAME", help="show only this model group")
    parser.add_argument("--once", action="store_true", help=ONCE)
    return parser
