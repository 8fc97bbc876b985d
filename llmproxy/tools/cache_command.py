"""`llmproxy cache`: its options; the work is in cache_statistics.py."""

from __future__ import annotations

import argparse
import re

from llmproxy.tools.command_parser import Commands, add_running_proxy

EXAMPLES = ("llmproxy cache stats", "llmproxy cache purge --group gpt-4.1 --older 12h")
_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def add_commands(commands: Commands) -> list[argparse.ArgumentParser]:
    """Add the command; return the parsers of its actions."""
    cache = commands.add_parser(
        "cache",
        help="show or purge the cache of a running proxy",
        description="Show what the cache of a running proxy holds and saves, or purge it. The "
        "admin key is taken from the config, or from the variable LLMPROXY_ADMIN_KEY.",
        examples=EXAMPLES,
    )
    actions = cache.add_subparsers(metavar="ACTION", required=True, dest="action")
    stats = actions.add_parser(
        "stats",
        help="show hits, misses, savings and size",
        description="Show the hits, misses, savings and size of a running proxy's cache.",
    )
    purge = actions.add_parser(
        "purge",
        help="remove answers: all, or a selection",
        description="Remove answers from a running proxy's cache: all, or those of a group or "
        "above an age.",
    )
    purge.add_argument("--group", metavar="NAME", help="only answers of this model group")
    purge.add_argument(
        "--older", type=seconds, metavar="AGE", help="only older ones: 90 (s), 30m, 12h, 7d"
    )
    for action in (stats, purge):
        add_running_proxy(action)
    return [stats, purge]


def run(options: argparse.Namespace) -> int:
    """Show or purge. Raises ConfigError."""
    from llmproxy.tools.cache_statistics import run  # noqa: PLC0415 - other commands start fast

    return run(options)


def seconds(text: str) -> float:
    """Parse a duration such as 90, 30m, 12h or 7d."""
    match = re.fullmatch(r"(\d{1,9})([smhd]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"expected seconds, or a number with m, h or d (7d), found {text!r}"
        )
    return int(match[1]) * _UNITS_S[match[2]]
