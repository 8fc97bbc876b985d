"""The options of `llmproxy init`. Imports nothing heavy, so that every command starts fast."""

from __future__ import annotations

import argparse

from llmproxy.tools.command_parser import Commands, add_config

DESCRIPTION = """\
Write a first config and a file with its variables. It asks which vendors to call, which models of
them, where to listen and who may call; each option answers a question, and Enter takes the
proposal. Keys are found in the environment, and never written into the config. Ctrl+C leaves
everything as it was."""
EXAMPLES = (
    "llmproxy init",
    "llmproxy init --yes",
    "llmproxy init --yes --vendors openai,anthropic --listen 0.0.0.0:4000",
)


def add_commands(commands: Commands) -> list[argparse.ArgumentParser]:
    """Add the command; return its parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "init",
        help="write a first config, after four questions",
        description=DESCRIPTION,
        examples=EXAMPLES,
    )
    add_config(parser)
    parser.add_argument("--yes", action="store_true", help="ask nothing: take every proposal")
    parser.add_argument("--force", action="store_true", help="replace files that exist")
    parser.add_argument("--vendors", metavar="NAMES", help="with commas: openai,azure,anthropic")
    parser.add_argument(
        "--models",
        metavar="NAMES",
        help="with commas: gpt-4.1,anthropic/claude-sonnet-4-5, or '*' for every model",
    )
    parser.add_argument("--listen", metavar="HOST:PORT", help="the address to listen on")
    parser.add_argument(
        "--callers",
        choices=("anyone", "key"),
        help="who may call: anyone who reaches the address, or whoever has the key that is made",
    )
    return [parser]


def run(options: argparse.Namespace) -> int:
    """Ask, and write the files. Raises ConfigError."""
    from llmproxy.tools.init.command import run  # noqa: PLC0415 - other commands start fast

    return run(options)
