"""Load a config file whole, or refuse it with every problem in the order of lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from llmproxy.batteries.config_file.battery_settings import battery_conflicts
from llmproxy.batteries.config_file.battery_values import battery_values
from llmproxy.batteries.config_file.conflicts import conflicts
from llmproxy.batteries.config_file.document import Document, read_document
from llmproxy.batteries.config_file.likely_provider import with_likely_provider
from llmproxy.batteries.config_file.parameters import parameter_conflicts
from llmproxy.batteries.config_file.raw import Conflict
from llmproxy.batteries.config_file.remedies import OF_LITELLM, explain
from llmproxy.batteries.settings import FullConfig
from llmproxy.errors import ConfigError, Problem

EXAMPLE = "`llmproxy init` writes a config; llmproxy.example.yaml is a longer example."
# The config of a folder, under the first of these names.
FILE_NAMES = ("llmproxy.yaml", "llmproxy.yml")
CONFIG_VARIABLE = "LLMPROXY_CONFIG"


def load_config(path: Path, environ: Mapping[str, str]) -> FullConfig:
    """Read, resolve and check a config file.

    References such as `os.environ/NAME` are resolved with `environ`. Raises ConfigError with every
    problem in the file, each with its line, in the order of lines.
    """
    return parse_config(config_text(path), environ, file=str(path))


def _nothing_more(_config: FullConfig) -> list[Problem]:
    return []


def parse_config(
    text: str,
    environ: Mapping[str, str],
    *,
    file: str,
    look_further: Callable[[FullConfig], Iterable[Problem]] = _nothing_more,
) -> FullConfig:
    """Parse the text of a config; `file` is its name in the problems. Raises ConfigError.

    `look_further`: finds more in a config whose values have the right form, also in one whose
    variables are not set, so that one look finds everything.
    """
    document = read_document(text, environ)
    found = [error.place.problem(file, error.found, error.remedy) for error in document.errors]
    config = None
    if isinstance(document.value, dict):
        config, wrong = _checked(document, file)
        found += wrong
        if config is not None:
            found += _usable(look_further(config), document)
    elif not found:
        line = document.place(()).line
        if document.value is None:
            found = [Problem(file, line, "the file is empty.", EXAMPLE)]
        else:
            found = [
                Problem(file, line, "expected key: value lines, found something else.", EXAMPLE)
            ]
    if found or config is None:
        found.sort(key=lambda problem: problem.line)
        raise ConfigError(_pointing_to_import(found, document, file))
    return config


def _pointing_to_import(problems: list[Problem], document: Document, file: str) -> list[Problem]:
    """Return the problems of a config. Of LiteLLM's whole config, that one replaces all others; of
    ours with some keys of LiteLLM's, the first of theirs names the remedy."""
    places = document.key_places.items()
    if ("model_list",) in document.key_places and ("model_groups",) not in document.key_places:
        line = document.key_places[("model_list",)].line
        remedy = f"`llmproxy import {file} --output FILE` translates it."
        return [Problem(file, line, "top level: this is a config of LiteLLM.", remedy)]
    lines = [place.line for path, place in places if path[-1] in OF_LITELLM]
    for number, problem in enumerate(problems):
        if lines and problem.line >= min(lines):
            remedy = f"This is LiteLLM's: `llmproxy import {file}` translates it. {problem.remedy}"
            return [*problems[:number], replace(problem, remedy=remedy), *problems[number + 1 :]]
    return problems


def served_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the config file to serve: `path`, else LLMPROXY_CONFIG, else the `default_file`."""
    if path is None and (named := environ.get(CONFIG_VARIABLE)):
        path = Path(named)
    return path or default_file()


def default_file(folder: Path | None = None) -> Path | None:
    """Return the config file of a folder, by default the current one; None if it has none.

    Raises ConfigError if it has two: neither may be overlooked.
    """
    folder = folder or Path()
    found = [path for name in FILE_NAMES if (path := folder / name).exists()]
    if len(found) > 1:
        remedy = "Remove one, or name the one to use with --config."
        raise ConfigError(
            [Problem(str(found[1]), 0, f"{found[0].name} is in this folder, too.", remedy)]
        )
    return found[0] if found else None


def located(problems: Iterable[Problem], text: str) -> list[Problem]:
    """Return problems with the lines of their paths in the text of a config, sorted by line."""
    document = read_document(text, {})
    placed = (_placed(problem, document) if problem.path else problem for problem in problems)
    return sorted(placed, key=lambda problem: problem.line)


def _usable(problems: Iterable[Problem], document: Document) -> Iterator[Problem]:
    """Yield problems with their lines, but none of a value that could not even be read."""
    for problem in problems:
        above = {problem.path[:length] for length in range(1, len(problem.path) + 1)}
        if above.isdisjoint(document.refused):
            yield _placed(problem, document) if problem.path else problem


def _placed(problem: Problem, document: Document) -> Problem:
    line, columns = document.place(problem.path)
    placed = replace(problem, line=line, columns=columns)
    return with_likely_provider(placed, document.value)


def config_text(path: Path) -> str:
    """Return the text of a config file. Raises ConfigError if it cannot be read."""
    file = str(path)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        problem = Problem(
            file, 0, "this file does not exist.", "Check the path. `llmproxy init` writes a config."
        )
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


def _checked(document: Document, file: str) -> tuple[FullConfig | None, list[Problem]]:
    config = None
    clashes = [
        *conflicts(document.value),
        *battery_conflicts(document.value),
        *parameter_conflicts(document.value),
    ]
    wrong = [
        fault for fault in battery_values(document.value) if fault.path not in document.refused
    ]
    faults: list[ErrorDetails | Conflict] = [*clashes, *wrong]
    try:
        config = FullConfig.model_validate(document.value)
    except ValidationError as error:
        faults += [
            detail
            for detail in error.errors(include_url=False)
            # document.errors has the errors of the text itself. An error of the whole config (an
            # empty `loc`) only repeats the conflicts.
            if (detail["type"] == "extra_forbidden" or detail["loc"] not in document.refused)
            and (detail["loc"] or not clashes)
        ]
    problems = (explain(fault, document, file) for fault in faults)
    return config, [problem for problem in problems if problem is not None]
