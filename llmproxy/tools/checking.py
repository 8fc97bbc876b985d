"""What `llmproxy check` does: judges a config without starting anything."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from llmproxy.batteries.config_file import located, masked, served_file
from llmproxy.composition import (
    DEFAULT_CONFIG,
    config_file,
    config_warnings,
    store_warnings,
    tls_warnings,
    translation_notes,
)
from llmproxy.errors import ConfigError, Problem
from llmproxy.process import address_of, open_to_all


def run(options: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> int:
    """Print what is wrong with a config; return the exit status. Raises ConfigError."""
    file = served_file(options.config, environ) or DEFAULT_CONFIG
    if options.json:
        return _as_json(file, environ)
    source = config_file(file, environ)
    config = source.load()
    if options.show:
        print(masked(config), end="")  # noqa: T201
        return 0
    endpoints = sum(len(group.models) for group in config.model_groups)
    doubts = config_warnings(config) + store_warnings(config, environ)
    doubts += map(str, located(tls_warnings(config, str(file)), source.served))
    if warning := open_to_all(config, address_of(config, None, None)[0]):
        doubts.append(warning)
    groups = _counted(len(config.model_groups), "model group")
    print(f"{file}: ok, {groups} with {_counted(endpoints, 'endpoint')}.")  # noqa: T201
    for note in translation_notes(config):
        print(note)  # noqa: T201
    for doubt in doubts:
        print(doubt, file=sys.stderr)  # noqa: T201
    if options.live:
        from llmproxy.tools.doctor.command import check_live  # noqa: PLC0415 - slow to import

        return check_live(config, environ)
    return 0


def _as_json(file: Path, environ: Mapping[str, str]) -> int:
    """Print every problem of a config as JSON, for editors."""
    try:
        config = config_file(file, environ).load()
        config_warnings(config)  # raises for a list of prices that cannot be used
        problems: list[Problem] = []
    except ConfigError as error:
        problems = error.problems
    print(json.dumps({"problems": list(_described(problems))}, indent=2))  # noqa: T201
    return 2 if problems else 0


def _described(problems: Iterable[Problem]) -> Iterable[dict[str, object]]:
    for problem in problems:
        first, last = problem.columns
        yield {
            "file": problem.file,
            "line": problem.line or None,
            "column": first or None,
            "end_column": last + 1 if last else None,
            "message": problem.found,
            "remedy": problem.remedy,
        }


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
