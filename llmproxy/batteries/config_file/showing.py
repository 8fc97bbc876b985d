"""Show a config: as YAML with masked secrets, and its JSON Schema for editors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml
from pydantic import SecretStr

from llmproxy.batteries.config_file.references import REFERENCE, escaped
from llmproxy.batteries.settings import FullConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

MASK = "***"
HARMLESS = {"api-version"}  # query parameters that are shown: they name the API version


def masked(config: FullConfig) -> str:
    """Return the effective config as YAML, defaults and generated names included, secrets as ***.

    Except for the secrets it is a valid config.
    """
    shown = _masked(config.model_dump(exclude_none=True, by_alias=True), "")
    for kind in ("callers", "operators"):
        for number, one in enumerate(shown["general_settings"].get(kind, ()), 1):
            if "key" in one:
                one["key"] = f"{MASK}{number}"  # equal keys would be refused
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100)


def json_schema() -> dict[str, object]:
    """Return the JSON Schema (draft 2020-12) of a config file.

    A number, a choice or a true/false value may also be a reference to the environment, and a
    section may be left empty.
    """
    schema: dict[str, Any] = FullConfig.model_json_schema()
    sections = schema.pop("$defs")
    top = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "LLMProxy configuration",
        **_without_titles(schema),
    }
    reference = {"type": "string", "pattern": REFERENCE}
    for section in (top, *sections.values()):
        section["properties"] = {
            key: _as_written(value) for key, value in section["properties"].items()
        }
    return top | {
        "$defs": {name: _without_titles(section) for name, section in sections.items()}
        | {"Reference": reference}
    }


def _masked(value: Any, key: str) -> Any:
    match value:
        case SecretStr():
            return _hidden(value.get_secret_value(), key)
        case dict():
            return {
                name: _masked(item, name) for name, item in value.items() if item not in ({}, ())
            }
        case list() | tuple():
            return [_masked(item, key) for item in value]
        case str():
            return escaped(value)
    return value


def _hidden(secret: str, key: str) -> str:
    if key in HARMLESS:
        return escaped(secret)
    return _address(secret) if key in ("redis_url", "database_url") else MASK


def _address(url: str) -> str:
    """Return the URL of a server without user, password and the values of options."""
    parts = urlsplit(url)
    if not parts.netloc:  # a path
        return escaped(url)
    login, _, host = parts.netloc.rpartition("@")
    place = f"{parts.scheme}://{MASK + '@' if login else ''}{host}{parts.path}"
    query = "&".join(_option(option) for option in parts.query.split("&"))
    return escaped(f"{place}?{query}" if query else place)


def _option(written: str) -> str:
    name, equals, _ = written.partition("=")
    if name == "db" or not written:
        return written
    return f"{name}={MASK}" if equals else MASK


def _as_written(field: Mapping[str, Any]) -> dict[str, Any]:
    """Return a field's schema, widened by the references that the file may have instead of a
    value."""
    reference = {"$ref": "#/$defs/Reference"}
    kept = {key: field[key] for key in ("description", "default") if key in field}
    rest = {key: field[key] for key in field if key not in kept and key != "title"}
    match rest:
        case {"$ref": _}:
            options = [rest, {"type": "null"}]
        case {"anyOf": [*options]} if any(_is_scalar(option) for option in options):
            options = [*options, reference]
        case _ if _is_scalar(rest):
            options = [rest, reference]
        case _:
            return dict(field)
    return {**kept, "anyOf": options}


def _is_scalar(option: Mapping[str, Any]) -> bool:
    """Return whether an option is a number, a choice or a boolean; a text may be a reference
    anyway."""
    return option.get("type") in ("integer", "number", "boolean") or "enum" in option


def _without_titles(value: Any) -> Any:
    """Remove pydantic's generated titles, which only repeat the keys."""
    if isinstance(value, dict):
        return {
            key: _without_titles(item)
            for key, item in value.items()
            if not (key == "title" and isinstance(item, str))
        }
    return [_without_titles(item) for item in value] if isinstance(value, list) else value
