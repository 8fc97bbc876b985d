"""`llmproxy schema`: prints the JSON Schema of the config."""

from __future__ import annotations

import argparse
import json

from llmproxy.tools.command_parser import Commands

EXAMPLES = ("llmproxy schema > llmproxy.schema.json",)


def add_commands(commands: Commands) -> list[argparse.ArgumentParser]:
    """Add the command; return its parser."""
    schema: argparse.ArgumentParser = commands.add_parser(
        "schema",
        help="print the config's JSON Schema",
        description="Print the JSON Schema of llmproxy.yaml, for editors.",
        examples=EXAMPLES,
    )
    return [schema]


def run(_: argparse.Namespace) -> int:
    """Print it."""
    from llmproxy.batteries.config_file import json_schema  # noqa: PLC0415 - slow to import

    print(json.dumps(json_schema(), indent=2))  # noqa: T201
    return 0
