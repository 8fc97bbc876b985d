"""Refuses a start without a config where a file or a variable is nearly right.

Without a config the demo starts. An operator who meant to configure the proxy must not get the
demo's made-up answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from llmproxy.batteries.config_file.environment import PLACE
from llmproxy.errors import ConfigError, Problem

MAX_FILES = 100  # at most this many files of the folder are read
MAX_BYTES = 65_536  # of each
# Variables of other programs, and frequent mistakes -> the variables that are read here.
_NEARLY = {
    "ANTHROPIC_AUTH_TOKEN": "ANTHROPIC_API_KEY",
    "ANTHROPIC_KEY": "ANTHROPIC_API_KEY",
    "AZURE_API_KEY": "AZURE_OPENAI_API_KEY and AZURE_OPENAI_ENDPOINT",
    "AZURE_OPENAI_KEY": "AZURE_OPENAI_API_KEY and AZURE_OPENAI_ENDPOINT",
    "AZURE_OPENAI_AD_TOKEN": "azure_ad_token_provider in a config file",
    "CLAUDE_API_KEY": "ANTHROPIC_API_KEY",
    "OPENAI_APIKEY": "OPENAI_API_KEY",
    "OPENAI_API_KEYS": "OPENAI_API_KEY",
    "OPENAI_API_TOKEN": "OPENAI_API_KEY",
    "OPENAI_KEY": "OPENAI_API_KEY",
}
_CONFIG = re.compile(rb"^[\"']?(model_groups|model_list)[\"']?\s*:", re.MULTILINE)


def refuse_accidents(environ: Mapping[str, str], folder: Path) -> None:
    """Raise ConfigError if a variable or a file of the folder was probably meant to be used."""
    problems = [*_variables(environ), *_files(folder)]
    if problems:
        raise ConfigError(problems)


def _variables(environ: Mapping[str, str]) -> Iterator[Problem]:
    for name, instead in _NEARLY.items():
        if environ.get(name, "").strip():
            remedy = f"Set {instead}, or unset it; `llmproxy demo` starts the demo."
            yield Problem(PLACE, 0, f"{name} is set, but nothing reads it.", remedy)


def _files(folder: Path) -> Iterator[Problem]:
    for path in sorted(folder.glob("*.y*ml"))[:MAX_FILES]:
        if "example" in path.name or not _is_config(path):
            continue
        remedy = (
            f"Start it with --config {path.name}, or rename it to llmproxy.yaml; `llmproxy demo` "
            "starts the demo."
        )
        yield Problem(str(path), 0, "this looks like a config, but nothing names it.", remedy)


def _is_config(path: Path) -> bool:
    if not path.is_file():  # opening a FIFO would wait for its writer
        return False
    try:
        with path.open("rb") as file:
            return _CONFIG.search(file.read(MAX_BYTES)) is not None
    except OSError:
        return False
