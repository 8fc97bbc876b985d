"""Load a config file whole, or refuse it with every problem in the order of lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from llmproxy.config import problems
from llmproxy.config.conflicts import conflicts
from llmproxy.config.document import Document, read
from llmproxy.config.models import Config
from llmproxy.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

EXAMPLE = "See llmproxy.example.yaml for a working config."


def load_config(path: Path, environ: Mapping[str, str]) -> Config:
    """Read, resolve and check a config file.

    References such as `os.environ/NAME` are resolved with `environ`. Raises ConfigError with every
    problem in the file, each with its line, in the order of lines.
    """
    return parse_config(config_text(path), environ, file=str(path))


def parse_config(text: str, environ: Mapping[str, str], *, file: str) -> Config:
    """Parse the text of a config; `file` is its name in the problems. Raises ConfigError."""
    document = read(text, environ)
    found = [Problem(file, spot.line, spot.found, spot.remedy) for spot in document.spots]
    config = None
    if isinstance(document.value, dict):
        config, wrong = _checked(document, file)
        found += wrong
    elif not found:
        line = document.line(())
        if document.value is None:
            found = [Problem(file, line, "the file is empty.", EXAMPLE)]
        else:
            found = [
                Problem(file, line, "expected key: value lines, found something else.", EXAMPLE)
            ]
    if found or config is None:
        raise ConfigError(sorted(found, key=lambda problem: problem.line))
    return config


def config_text(path: Path) -> str:
    """Return the text of a config file. Raises ConfigError if it cannot be read."""
    file = str(path)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        problem = Problem(file, 0, "this file does not exist.", "Check the path. " + EXAMPLE)
    except IsADirectoryError:
        problem = Problem(file, 0, "found a directory.", "Give the path of a YAML file.")
    except PermissionError:
        problem = Problem(file, 0, "no permission to read the file.", "Check its owner and mode.")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problem = Problem(file, line, "found bytes that are not UTF-8.", "Save it as UTF-8.")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else str(error)
        problem = Problem(file, 0, f"the file cannot be read: {reason}.", "Check the path.")
    raise ConfigError([problem])


def _checked(document: Document, file: str) -> tuple[Config | None, list[Problem]]:
    found = [
        problems.of_conflict(conflict, document, file) for conflict in conflicts(document.value)
    ]
    try:
        return Config.model_validate(document.value), found
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            # Errors of the text itself are in document.spots, and conflicts are in `found`.
            if detail["loc"] in document.refused or detail["type"] == Config.CONFLICT:
                continue
            problem = problems.of_value(detail, document, file)
            found += [problem] if problem else []
    return None, found
