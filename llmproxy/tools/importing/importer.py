"""Imports a file: recognises its kind, reads it, writes ours, and checks the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from llmproxy.batteries.config_file import parse_config
from llmproxy.errors import ConfigError, Problem
from llmproxy.tools.importing.agentgateway import read_agentgateway
from llmproxy.tools.importing.bifrost import read_bifrost
from llmproxy.tools.importing.gateway import Gateway
from llmproxy.tools.importing.litellm import LiteLLM
from llmproxy.tools.importing.portkey import read_portkey
from llmproxy.tools.importing.report import ImportOutcome, ImportReport
from llmproxy.tools.importing.sample_environ import SampleEnviron
from llmproxy.tools.importing.source import SourceFile, read_source
from llmproxy.tools.importing.writing import variables, written


def _litellm(source: SourceFile, report: ImportReport) -> Gateway:
    return LiteLLM(report, read_source).load(source)


READERS: Mapping[str, Callable[[SourceFile, ImportReport], Gateway]] = {
    "litellm": _litellm,
    "agentgateway": read_agentgateway,
    "portkey": read_portkey,
    "bifrost": read_bifrost,
}
# A key at the top of a file by which its kind is recognised, the first that is there.
_SIGNS = (
    ("model_list", "litellm"),
    ("litellm_settings", "litellm"),
    ("router_settings", "litellm"),
    ("include", "litellm"),
    ("model_groups", "litellm"),  # our name for the list, and theirs for the rest
    ("binds", "agentgateway"),
    ("llm", "agentgateway"),
    ("backends", "agentgateway"),
    ("providers", "bifrost"),
    ("strategy", "portkey"),
    ("targets", "portkey"),
    ("provider", "portkey"),
    ("virtual_key", "portkey"),
)
# Keys whose values are numbers.


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of a file. `kind`: of its gateway. `text`: our config."""

    kind: str
    text: str
    report: ImportReport


def compared_with_litellm(path: Path, python: str) -> str:
    """Return a table of where LiteLLM's Router and we send the same calls.

    `python`: one that has LiteLLM. Raises RuntimeError if its Router cannot be run.
    """
    from llmproxy.tools.importing.comparing import asked_of_litellm, compare, table  # noqa: PLC0415

    reader = LiteLLM(ImportReport(), read_source)
    reader.load(read_source(path))
    return table(compare(reader, original=partial(asked_of_litellm, python=python)))


def import_file(path: Path, environ: Mapping[str, str], *, kind: str | None = None) -> Imported:
    """Read a file of another gateway. Raises ConfigError if it cannot be read."""
    source = read_source(path)
    kind = kind or _kind_of(source)
    report = ImportReport()
    gateway = READERS[kind](source, report)
    gateway.groups = {name: group for name, group in gateway.groups.items() if group.endpoints}
    if not gateway.groups:
        remedy = "Add one, or name the gateway with --from. " + _why_empty(report)
        raise ConfigError(
            [Problem(str(path), 0, f"no model of it can be asked from {kind}.", remedy)]
        )
    text = written(gateway, _head(path, kind))
    report.groups = len(gateway.groups)
    report.endpoints = sum(1 for _ in gateway.endpoints())
    report.variables = {name: bool(environ.get(name)) for name in variables(text)}
    report.problems = _problems(text, environ)
    return Imported(kind, text, report)


def _kind_of(source: SourceFile) -> str:
    root = source.root
    for key, kind in _SIGNS:
        if key in root:
            return kind
    found = f"this is no config of {', '.join(READERS)}."
    raise ConfigError([Problem(source.file, 1, found, "Name its gateway with --from.")])


def _head(path: Path, kind: str) -> list[str]:
    return [
        f"Written by `llmproxy import` from {path.name} ({kind}).",
        "Every key, its default and its meaning: docs/reference/configuration.md",
    ]


def _why_empty(report: ImportReport) -> str:
    return " ".join(f"{f.file}:{f.line}: {f.text}" for f in report.of(ImportOutcome.LEFT_OUT)[:3])


def _problems(text: str, environ: Mapping[str, str]) -> list[str]:
    """Return what `llmproxy check` says of a config once its variables are set."""
    try:
        parse_config(text, SampleEnviron(environ, text), file="llmproxy.yaml")
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []
