"""Help for people who configure the proxy.

Every error of a file with its remedy, the effective config, its JSON Schema, and a config without a
file. Without this package the core reads the same files, and its errors are brief.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from llmproxy.config import Config, config_text
from llmproxy.config import parse_config as parse
from llmproxy.config.conflicts import conflicts
from llmproxy.config.raw import Conflict
from llmproxy.config_help.accidents import refuse_accidents
from llmproxy.config_help.battery_settings import battery_conflicts
from llmproxy.config_help.environment import config_from_environment
from llmproxy.config_help.remedies import explain
from llmproxy.config_help.showing import json_schema, masked

__all__ = [
    "config_from_environment",
    "json_schema",
    "load_config",
    "masked",
    "parse_config",
    "refuse_accidents",
]


def load_config(path: Path, environ: Mapping[str, str]) -> Config:
    """Load a config file as `llmproxy.config.load_config` does, and explain what is wrong in it."""
    return parse_config(config_text(path), environ, file=str(path))


def parse_config(text: str, environ: Mapping[str, str], *, file: str) -> Config:
    """Parse a config as `llmproxy.config.parse_config` does, and explain what is wrong in it."""
    return parse(text, environ, file=file, explain=explain, find_conflicts=_all_conflicts)


def _all_conflicts(config: object) -> Iterator[Conflict]:
    yield from conflicts(config)
    yield from battery_conflicts(config)
