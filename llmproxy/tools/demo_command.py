"""`llmproxy demo`: its options, and its start."""

from __future__ import annotations

import argparse
import os
import sys

from llmproxy.tools.command_parser import Commands, add_address

EXAMPLES = ("llmproxy demo", "llmproxy demo --port 8000")


def add_commands(commands: Commands) -> list[argparse.ArgumentParser]:
    """Add the command; return its parser."""
    demo: argparse.ArgumentParser = commands.add_parser(
        "demo",
        help="start the proxy in front of simulated endpoints",
        description="Start the proxy in front of simulated endpoints: no keys, no cost. One of "
        "them fails now and then, so that there is something to see.",
        examples=EXAMPLES,
    )
    add_address(demo, default="")
    return [demo]


def run(options: argparse.Namespace, *, asked_for: bool = True) -> int:
    """Serve the demo until a signal ends it. `asked_for`: False = because no config was found."""
    from llmproxy.composition import installed  # noqa: PLC0415 - other commands start fast
    from llmproxy.tools.demo import serve_demo  # noqa: PLC0415

    batteries = installed(log_to=sys.stdout.fileno(), reloader=None)
    return serve_demo(options.host, options.port, os.environ, batteries, asked_for=asked_for)
