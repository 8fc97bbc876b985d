"""Explain what is wrong in a config file: the line, what was found, and what to do.

A problem repeats a value only as the file spells it, never the content of a variable and never a
secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, get_args, get_origin

from llmproxy.batteries.config_file.raw import Conflict
from llmproxy.batteries.settings import (
    AlertTarget,
    BudgetEntry,
    CacheParams,
    Caller,
    FullConfig,
    FullSettings,
    Operator,
    Team,
    TlsSettings,
    Tracing,
)
from llmproxy.config.base import Section
from llmproxy.config.checks import REFUSED
from llmproxy.config.general import Timeouts
from llmproxy.config.models import ModelEntry, ModelGroup, Params
from llmproxy.config.sections import Limits, Price, Queue
from llmproxy.errors import Problem

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from llmproxy.batteries.config_file.document import Document
    from llmproxy.batteries.config_file.raw import Path

# Names in other gateways' configs -> our names.
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
    "max_retries": "num_retries",
    "routing_strategy": "strategy",
    "host": "bind_address",
    "port": "bind_port",
    "priority": "tier",
    "order": "tier",
    "requests_per_minute": "rpm",
    "tokens_per_minute": "tpm",
    "max_parallel_requests": "concurrent",
    "max_concurrency": "concurrent",
    "rate_limits": "limits",
    "pricing": "price",
    "default_fallbacks": "fallbacks",
    "virtual_keys": "callers",
    "redis_tls": "redis_ssl",
    "redis_user": "redis_username",
    "sentinel_nodes": "redis_sentinels",
    "service_name": "redis_sentinel_master",
}
# Strategies in other gateways' configs -> our names.
_STRATEGIES = {
    "simple-shuffle": "weighted",
    "round_robin": "weighted",
    "latency-based-routing": "latency",
    "cost-based-routing": "cheapest",
    "lowest_cost": "cheapest",
}
_PER_MILLION = "Write price: {{{} ...}} at the endpoint, in US dollars per million tokens: {}."
_TIMES = "this number times 1,000,000"
# Keys of other gateways that differ in more than the name -> what to write.
_OTHERWISE = {
    "drop_params": "Write drop_unsupported: true at each endpoint.",
    "input_cost_per_token": _PER_MILLION.format("input:", _TIMES),
    "output_cost_per_token": _PER_MILLION.format("output:", _TIMES),
    "cache_read_input_token_cost": _PER_MILLION.format("cached_input:", _TIMES),
    "master_key": "Write callers: a list in general_settings, each with a name and its own key; "
    "admin_key is for /admin.",
}
# Keys that only a config of LiteLLM has.
OF_LITELLM = ("model_list", "litellm_params", "litellm_settings", "router_settings")
# Too common to guess where they belong.
_AMBIGUOUS = {"host", "port"}
_PLACES: tuple[tuple[type[Section], str], ...] = (
    (Params, "params of an endpoint"),
    (ModelEntry, "an endpoint of models"),
    (ModelGroup, "a group of model_groups"),
    (FullSettings, "general_settings"),
    (Timeouts, "general_settings.timeouts"),
    (Limits, "limits of an endpoint or a caller"),
    (Price, "price of an endpoint"),
    (Queue, "general_settings.queue"),
    (CacheParams, "general_settings.cache_params"),
    (Caller, "a caller of general_settings.callers"),
    (Team, "a team of general_settings.teams"),
    (Operator, "an operator of general_settings.operators"),
    (Tracing, "general_settings.tracing"),
    (TlsSettings, "general_settings.tls"),
    (BudgetEntry, "a budget of general_settings.budgets"),
    (AlertTarget, "a webhook of general_settings.alerts"),
    (FullConfig, "the top level"),
)
_SECRET_WORDS = (
    "key",
    "token",
    "secret",
    "password",
    "headers",
    "default_query",
    "auth",
    "redis_url",
    "database_url",
)
_NO_SECRETS = (
    "azure_ad_token_provider",
    "exact_token_counts",
    "tokens",
)  # although their names contain such a word
_LISTED = 30  # keys of a section that an error lists; general_settings has twice as many
# prefix of pydantic's error type -> what was expected, what to write
_EXPECTED = (
    ("int", "a whole number", "Write digits only."),
    ("float", "a number", "Write digits, with a point if need be."),
    ("finite", "a finite number", "Write a number."),
    ("bool", "true or false", "Write true or false."),
    ("string", "a string", "Put quotes around it."),
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


def explain(fault: ErrorDetails | Conflict, document: Document, file: str) -> Problem | None:
    """Return a fault as a problem; None if it only follows from others."""
    if isinstance(fault, Conflict):
        return _conflict(fault, document, file)
    return _value(fault, document, file)


def _value(error: ErrorDetails, document: Document, file: str) -> Problem | None:
    """Return one of pydantic's errors as a problem; None if it only follows from others."""
    path: Path = tuple(part for part in error["loc"] if part != "[key]")
    kind = error["type"]
    if kind == "extra_forbidden":
        return _unknown_key(path, document, file)
    if kind == "missing":
        return _missing(path, document, file)
    context: dict[str, Any] = error.get("ctx", {})
    if kind == REFUSED and context["key"]:
        path = (*path, context["key"])
    place = document.place(path, key=isinstance(error.get("input"), dict | list))
    name = dotted(path)
    shown = _found(path, error.get("input"), document)
    if kind == REFUSED:
        found = context["found"].replace("{value}", shown)
        return place.problem(file, f"{name}: {found}", context["remedy"])
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        bound = f"{words} {context[key]:g}"
        return place.problem(
            file, f"{name}: expected {bound}, found {shown}.", f"Write a number {bound}."
        )
    if kind == "too_short":
        if error.get("input"):  # pydantic counts only the valid ones
            return None
        return place.problem(file, f"{name}: expected at least one.", _ADD.get(path[-1:], _ADD[()]))
    if kind == "literal_error":
        return place.problem(
            file,
            f"{name}: expected {context['expected']}, found {shown}.",
            _meant(str(error.get("input")), re.findall(r"'([^']*)'", context["expected"])),
        )
    for start, expected, remedy in _EXPECTED:
        if kind.startswith(start):
            in_seconds = _in_plain_seconds(path, error.get("input"))
            found = f"{name}: expected {expected}, found {shown}."
            return place.problem(file, found, in_seconds or remedy)
    return place.problem(file, f"{name}: {error['msg']}.", "Correct the value.")


_TIME = re.compile(
    r"\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|sec|secs|seconds?|m|min|mins|minutes?|h|d)\s*"
)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def _in_plain_seconds(path: Path, value: object) -> str | None:
    """Return the remedy for a time with a unit, such as `60s`, where seconds are expected."""
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None or is_secret(path):
        return None
    unit = match[2] if match[2] in _SECONDS else match[2][0]
    return f"Its unit is the second: write {float(match[1]) * _SECONDS[unit]:g}."


def _conflict(conflict: Conflict, document: Document, file: str) -> Problem:
    """Return a conflict as a problem, with the line of the other value."""
    text = conflict.found.replace("{value}", _found(conflict.path, conflict.value, document))
    if conflict.other is not None:
        text = f"{text[:-1]}; the first is on line {document.place(conflict.other).line}."
    place = document.place(conflict.path, key=conflict.other is None and conflict.value is None)
    return place.problem(file, f"{dotted(conflict.path)}: {text}", conflict.remedy)


_ADD: dict[Path, str] = {
    ("model_groups",): "Add a group: `- model_group: NAME` with `models:` below.",
    ("models",): "Add an endpoint: `- model: NAME` with `params:` below.",
    ("groups",): "Add a group's name, or remove the key to allow all groups.",
    (): "Add one.",
}
_MISSING = {
    "cert": "Add cert: the path of a PEM file with the server's certificate.",
    "key": "Add key: the path of a PEM file with its private key.",
    "model_groups": "Add model_groups with at least one group (see llmproxy.example.yaml).",
    "model_group": "Add model_group: the name that clients put in `model`.",
    "models": "Add models: the endpoints of this group, at least one.",
    "endpoint": "Add endpoint: where spans are sent, such as http://127.0.0.1:4318.",
    "name": "Add name: the name of the caller or team in logs and metrics.",
    "issuer": "Add issuer: who makes the tokens, such as https://login.example.com.",
    "url": "Add url: the address of the webhook, best as os.environ/NAME.",
    "audience": "Add audience: whom the tokens are for (aud), such as llmproxy.",
    "client_id": "Add client_id: the name of this proxy at the issuer.",
    "roles": "Add roles: who gets which role, as {claim: groups, value: llm-admins, role: admin}.",
    "role": "Add role: admin, viewer or team.",
    "input": "Add input: US dollars per million input tokens.",
    "output": "Add output: US dollars per million output tokens.",
}


def _missing(path: Path, document: Document, file: str) -> Problem:
    key = str(path[-1])
    place = document.place(path[:-1], key=True)
    return place.problem(file, f"{dotted(path[:-1])}: {key} is missing.", _MISSING[key])


def _unknown_key(path: Path, document: Document, file: str) -> Problem:
    key, place = str(path[-1]), document.place(path, key=True)
    found = f"{dotted(path[:-1])}: unknown key {shortened(key)!r}."
    if key in _OTHERWISE:
        return place.problem(file, found, _OTHERWISE[key])
    section = _section_at(path[:-1])
    known = tuple(field.alias or name for name, field in section.model_fields.items())
    meant = SYNONYMS.get(key, key)
    if meant in known:
        return place.problem(file, found, f"Write {meant}, its name here.")
    section_name = None if key in _AMBIGUOUS else _section_of(meant)
    if section_name is not None:
        called = "" if meant == key else f" is called {meant} here, and"
        return place.problem(file, found, f"It{called} belongs in {section_name}.")
    if suggestion := _similar_key(key, known):
        return place.problem(file, found, suggestion)
    here = ", ".join(known)
    if len(known) > _LISTED:
        here = "see docs/reference/configuration.md"
    return place.problem(file, found, f"Remove it; known here: {here}.")


def _section_at(path: Path) -> type[Section]:
    """Return the section that a path of a config leads to."""
    section: type[Section] = FullConfig
    names = iter([part for part in path if isinstance(part, str)])
    for name in names:
        fields = section.model_fields.items()
        kind = next(field.annotation for key, field in fields if name == (field.alias or key))
        if get_origin(kind) is Mapping:
            next(names, None)
        section = next(_sections_in(kind))
    return section


def _sections_in(kind: Any) -> Iterator[type[Section]]:
    """Yield the sections that a type is made of: of `tuple[Caller, ...] | None`, Caller."""
    if isinstance(kind, type) and issubclass(kind, Section):
        yield kind
    for part in get_args(kind):
        yield from _sections_in(part)


def is_known_key(key: str) -> bool:
    """Return whether some section has this key."""
    return key in _known_keys()


@cache
def _known_keys() -> frozenset[str]:
    found: set[str] = set()
    sections: list[type[Section]] = [FullConfig]
    for section in sections:  # grows
        for name, field in section.model_fields.items():
            found.add(field.alias or name)
            sections += [s for s in _sections_in(field.annotation) if s not in sections]
    return frozenset(found)


def _section_of(key: str) -> str | None:
    """Return the section that a misplaced key belongs in."""
    return next((place for section, place in _PLACES if key in section.model_fields), None)


def _meant(choice: str, known: list[str]) -> str:
    """Return which of the known choices a wrong choice probably means."""
    if (ours := _STRATEGIES.get(choice)) in known:
        return f"Write {ours}, its name here."
    return _similar(choice, known) or "Write one of these."


def _similar_key(key: str, known: Sequence[str]) -> str | None:
    """Suggest a key: one that is spelt nearly so, else one that `key` begins with (`cert` for
    `certificate`, `tls` for `tls_cert`), else one that is spelt a little so."""
    begun = sorted((name for name in known if key.lower().startswith(name)), key=len)
    beginning = f"Did you mean {begun[-1]}?" if begun else None
    return _similar(key, known, cutoff=0.8) or beginning or _similar(key, known)


def _similar(word: str, known: Sequence[str], *, cutoff: float = 0.6) -> str | None:
    from difflib import get_close_matches  # noqa: PLC0415 - only after a mistake

    close = get_close_matches(word.lower(), known, n=1, cutoff=cutoff)
    return f"Did you mean {close[0]}?" if close else None


def _found(path: Path, value: object, document: Document) -> str:
    """Return a wrong value as an error may show it."""
    match value:
        case None:
            return "nothing"
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
    if is_secret(path):
        kind = {bool: "a true/false value", int: "a number", float: "a number"}
        return kind.get(type(value), "a string") + " (not shown)"
    if path in document.written:
        return shortened(repr(document.written[path])) + " from the environment"
    if not isinstance(value, str):
        return shortened(str(value).lower())
    if path[-1:] in (("base_url",), ("azure_endpoint",)) or "://" in value:
        value = re.split(r"[?#]", value, maxsplit=1)[0]  # a query may hold a key
        return "a URL with a credential in it" if "@" in value else shortened(repr(value))
    return shortened(repr(value))


def is_secret(path: Path) -> bool:
    """Return whether a value at this path may be a secret."""
    words = [str(part).lower() for part in path if part not in _NO_SECRETS]
    guarded = any(secret in word for word in words for secret in _SECRET_WORDS)
    # a secret where its section should be
    return guarded or path[-1:] == ("params",) or not {"callers", "alerts"}.isdisjoint(path[-2:])


def dotted(path: Path) -> str:
    """Return a path in the form model_groups[0].models[1].weight."""
    written = ""
    for part in path:
        written += f"[{part}]" if isinstance(part, int) else f".{shortened(part)}"
    return written.lstrip(".") or "top level"


def shortened(text: str) -> str:
    """Return a text with at most 80 characters."""
    return text if len(text) <= 80 else text[:77] + "..."
