"""What is wrong with a config's values, in the operator's words and with their lines.

A value is repeated only as it stands in the file (never what a variable held) and never where it
may be a secret.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

from llmproxy.config.base import Section
from llmproxy.config.checks import REFUSED
from llmproxy.config.general import GeneralSettings, Timeouts
from llmproxy.config.models import Config, ModelEntry, ModelGroup, Params
from llmproxy.errors import Problem

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from llmproxy.config.contradictions import Contradiction, Path
    from llmproxy.config.document import Document

# Keys of the public contract that are not built yet: refused, not silently accepted.
NOT_YET = {"cache", "cache_params", "admin_key"}
# What the same thing is called in other gateways' configs.
SYNONYMS = {
    "model_list": "model_groups",
    "litellm_params": "params",
    "model_params": "params",
    "litellm_settings": "general_settings",
    "router_settings": "general_settings",
    "model_name": "model_group",
    "endpoints": "models",
    "api_base": "base_url",
    "request_timeout": "timeout",
    "routing_strategy": "strategy",
    "host": "bind_address",
    "port": "bind_port",
    "priority": "tier",
    "order": "tier",
}
_PLACES: tuple[tuple[type[Section], str], ...] = (
    (Params, "params of an endpoint"),
    (ModelEntry, "an endpoint of models"),
    (ModelGroup, "a group of model_groups"),
    (GeneralSettings, "general_settings"),
    (Timeouts, "general_settings.timeouts"),
    (Config, "the top level"),
)
_SECRET_WORDS = ("key", "token", "secret", "password", "default_headers", "default_query", "auth")
# pydantic's error types, by how they begin: what was expected and what to write
_EXPECTED = (
    ("int", "a whole number", "Write digits only."),
    ("float", "a number", "Write digits, with a point if need be."),
    ("finite", "a finite number", "Write a number."),
    ("bool", "true or false", "Write true or false."),
    ("string", "a text", "Put quotes around it."),
    ("model", "a mapping (key: value lines)", "Write indented key: value lines."),
    ("dict", "a mapping (key: value lines)", "Write indented key: value lines."),
    ("mapping", "a mapping (key: value lines)", "Write indented key: value lines."),
    ("tuple", "a list (lines that begin with -)", "Write one line beginning with - for each."),
)
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}


def of_value(error: ErrorDetails, document: Document, file: str) -> Problem | None:
    """One of pydantic's errors as a problem; None for one that only follows from others."""
    path: Path = tuple(part for part in error["loc"] if part != "[key]")
    kind = error["type"]
    if kind == "extra_forbidden":
        return _unknown_key(path, document, file)
    if kind == "missing":
        return _missing(path, document, file)
    context: dict[str, Any] = error.get("ctx", {})
    if kind == REFUSED and context["key"]:
        path = (*path, context["key"])
    line = document.line(path, key=isinstance(error.get("input"), dict | list))
    place = dotted(path)
    shown = _found(path, error.get("input"), document)
    if kind == REFUSED:
        found = context["found"].replace("{value}", shown)
        return Problem(file, line, f"{place}: {found}", context["remedy"])
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        bound = f"{words} {context[name]:g}"
        return Problem(
            file, line, f"{place}: expected {bound}, found {shown}.", f"Write a number {bound}."
        )
    if kind == "too_short":
        if error.get("input"):  # pydantic counts only the valid ones
            return None
        return Problem(
            file, line, f"{place}: expected at least one.", _ADD.get(path[-1:], _ADD[()])
        )
    if kind == "literal_error":
        return Problem(
            file,
            line,
            f"{place}: expected {context['expected']}, found {shown}.",
            _similar(str(error.get("input")), re.findall(r"'([^']*)'", context["expected"]))
            or "Write one of these.",
        )
    for start, expected, remedy in _EXPECTED:
        if kind.startswith(start):
            return Problem(file, line, f"{place}: expected {expected}, found {shown}.", remedy)
    return Problem(file, line, f"{place}: {error['msg']}.", "Correct the value.")


def of_contradiction(found: Contradiction, document: Document, file: str) -> Problem:
    """A contradiction as a problem, with the line of the other value."""
    text = found.found.replace("{value}", _found(found.path, found.value, document))
    if found.other is not None:
        text = f"{text[:-1]}; the first is on line {document.line(found.other)}."
    line = document.line(found.path, key=found.other is None)
    return Problem(file, line, f"{dotted(found.path)}: {text}", found.remedy)


def dotted(path: Path) -> str:
    """A path as an operator would write it: model_groups[0].models[1].weight."""
    written = ""
    for part in path:
        written += f"[{part}]" if isinstance(part, int) else f".{_short(part)}"
    return written.lstrip(".") or "top level"


_ADD: dict[Path, str] = {
    ("model_groups",): "Add a group: `- model_group: NAME` with `models:` below.",
    ("models",): "Add an endpoint: `- model: NAME` with `params:` below.",
    (): "Add one.",
}
_MISSING = {
    "model_groups": "Add model_groups with at least one group (see llmproxy.example.yaml).",
    "model_group": "Add model_group: the name that clients put in `model`.",
    "models": "Add models: the endpoints of this group, at least one.",
}


def _missing(path: Path, document: Document, file: str) -> Problem:
    key = str(path[-1])
    line = document.line(path[:-1], key=True)
    remedy = _MISSING.get(key, f"Add {key}.")
    return Problem(file, line, f"{dotted(path[:-1])}: {key} is missing.", remedy)


def _unknown_key(path: Path, document: Document, file: str) -> Problem:
    key, line = str(path[-1]), document.line(path, key=True)
    found = f"{dotted(path[:-1])}: unknown key {_short(key)!r}."
    if key in NOT_YET:
        return Problem(
            file, line, f"{dotted(path)}: not supported by this version yet.", "Remove it."
        )
    section = _section(path)
    known = tuple(section.model_fields)
    synonym = SYNONYMS.get(key)
    if synonym in known:
        return Problem(file, line, found, f"Write {synonym}, which is what it is called here.")
    for other, place in _PLACES:
        if other is not section and key in other.model_fields:
            return Problem(file, line, found, f"It belongs in {place}.")
    remedy = _similar(key, list(known)) or f"Remove it; known here: {', '.join(known)}."
    return Problem(file, line, found, remedy)


def _section(path: Path) -> type[Section]:
    """Which section a path's last key stands in."""
    match [part for part in path[:-1] if isinstance(part, str)]:
        case []:
            return Config
        case ["model_groups"]:
            return ModelGroup
        case ["model_groups", "models"]:
            return ModelEntry
        case ["model_groups", "models", *_]:
            return Params
        case ["general_settings"]:
            return GeneralSettings
        case _:
            return Timeouts


def _similar(word: str, known: list[str]) -> str | None:
    close = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f"Did you mean {close[0]}?" if close else None


def _found(path: Path, value: object, document: Document) -> str:
    """A wrong value as an error may show it."""
    match value:
        case None:
            return "nothing"
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
    if _secret(path):
        kind = {bool: "a true/false value", int: "a number", float: "a number"}
        return kind.get(type(value), "a text") + " (not shown)"
    if path in document.written:
        return _short(repr(document.written[path])) + " from the environment"
    if not isinstance(value, str):
        return _short(str(value).lower())
    if path[-1:] in (("base_url",), ("azure_endpoint",)):
        value = re.split(r"[?#]", value, maxsplit=1)[0]  # a query may hold a key
        return "a URL with a credential in it" if "@" in value else _short(repr(value))
    return _short(repr(value))


def _secret(path: Path) -> bool:
    words = [str(part).lower() for part in path if part != "azure_ad_token_provider"]
    guarded = any(secret in word for word in words for secret in _SECRET_WORDS)
    return guarded or path[-1:] == ("params",)  # a key where its section should be


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."
