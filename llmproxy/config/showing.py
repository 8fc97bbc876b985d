"""A config for other eyes: as YAML with its secrets masked, and its schema for editors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml
from pydantic import SecretStr

from llmproxy.config.models import Config
from llmproxy.config.references import REFERENCE

if TYPE_CHECKING:
    from collections.abc import Mapping

MASK = "***"
HARMLESS = {"api-version"}  # query parameters that are shown: they say which API is spoken


def masked(config: Config) -> str:
    """The effective config as YAML, defaults and generated names included, secrets as ***.

    It is itself a valid config, but for the secrets.
    """
    shown = _masked(config.model_dump(exclude_none=True), "")
    for number, caller in enumerate(shown["general_settings"].get("callers", ()), 1):
        if "key" in caller:
            caller["key"] = f"{MASK}{number}"  # equal keys would be refused
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100)


def json_schema() -> dict[str, object]:
    """The JSON Schema (draft 2020-12) of a config file as it is written.

    A number, a choice or a true/false value may also be a reference to the environment, and a
    section may be left empty.
    """
    schema: dict[str, Any] = Config.model_json_schema()
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
                name: _masked(each, name) for name, each in value.items() if each not in ({}, ())
            }
        case list() | tuple():
            return [_masked(each, key) for each in value]
        case str():
            return _escaped(value)
    return value


def _hidden(secret: str, key: str) -> str:
    if key in HARMLESS:
        return secret
    return _address(secret) if key == "redis_url" else MASK


def _address(url: str) -> str:
    """A Redis URL without its user and password, and without what options say."""
    parts = urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    place = f"{parts.scheme}://{MASK + '@' if login else ''}{host}{parts.path}"
    query = "&".join(_option(each) for each in parts.query.split("&"))
    return _escaped(f"{place}?{query}" if query else place)


def _option(written: str) -> str:
    name, equals, _ = written.partition("=")
    if name == "db" or not written:
        return written
    return f"{name}={MASK}" if equals else MASK


def _escaped(text: str) -> str:
    return text.replace("${", "$${")


def _as_written(field: Mapping[str, Any]) -> dict[str, Any]:
    """A field's schema, widened by what may stand in the file instead of the value itself."""
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
    """A number, a choice or a truth; a text may be a reference anyway."""
    return option.get("type") in ("integer", "number", "boolean") or "enum" in option


def _without_titles(value: Any) -> Any:
    """Pydantic's generated titles say what the keys say already."""
    if isinstance(value, dict):
        return {
            key: _without_titles(each)
            for key, each in value.items()
            if not (key == "title" and isinstance(each, str))
        }
    return [_without_titles(each) for each in value] if isinstance(value, list) else value
