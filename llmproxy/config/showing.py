"""A config for other eyes: as YAML with its secrets masked, and its schema for editors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
            return value.get_secret_value() if key in HARMLESS else MASK
        case dict():
            return {
                name: _masked(each, name) for name, each in value.items() if each not in ({}, ())
            }
        case list() | tuple():
            return [_masked(each, key) for each in value]
        case str():
            return value.replace("${", "$${")
    return value


def _as_written(field: Mapping[str, Any]) -> dict[str, Any]:
    """A field's schema, widened by what may stand in the file instead of the value itself."""
    reference = {"$ref": "#/$defs/Reference"}
    kept = {key: field[key] for key in ("description", "default") if key in field}
    rest = {key: field[key] for key in field if key not in kept and key != "title"}
    match rest:
        case {"$ref": _}:
            options = [rest, {"type": "null"}]
        case {"anyOf": [*options]} if not any(_is_text(option) for option in options):
            options = [*options, reference]
        case {"type": "integer" | "number" | "boolean"} | {"enum": _}:
            options = [rest, reference]
        case _:
            return dict(field)
    return {**kept, "anyOf": options}


def _is_text(option: Mapping[str, Any]) -> bool:
    return option.get("type") == "string" and "enum" not in option


def _without_titles(value: Any) -> Any:
    """Pydantic's generated titles say what the keys say already."""
    if isinstance(value, dict):
        return {
            key: _without_titles(each)
            for key, each in value.items()
            if not (key == "title" and isinstance(each, str))
        }
    return [_without_titles(each) for each in value] if isinstance(value, list) else value
