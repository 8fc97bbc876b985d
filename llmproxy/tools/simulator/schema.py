"""Make a small JSON value that satisfies a JSON Schema, for structured outputs and tool arguments.

It covers what the OpenAI clients generate from types (objects, arrays, enums, const, anyOf,
allOf, $ref into $defs, string formats, bounds), not the whole of JSON Schema.
"""

from __future__ import annotations

from typing import cast

from llmproxy.tools.simulator.exchange import Json

MAX_DEPTH = 24

_FORMATS = {
    "date": "2025-01-01",
    "time": "12:00:00Z",
    "date-time": "2025-01-01T12:00:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "https://example.com/",
    "hostname": "example.com",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
}


def instance_of(schema: Json) -> object:
    """Return a small value. Recursive types end as early as they can (null, [])."""
    return _value(schema, schema, name="value", depth=0)


def _value(schema: Json, root: Json, *, name: str, depth: int) -> object:
    if depth > MAX_DEPTH:
        return None
    if "const" in schema:
        return schema["const"]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return cast("list[object]", schema["enum"])[0]
    if "default" in schema and schema["default"] is not None:
        return schema["default"]
    if isinstance(reference := schema.get("$ref"), str):
        return _value(_resolved(reference, root), root, name=name, depth=depth + 1)
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list):
            options = cast("list[Json]", schema[key])
            return _value(_easiest(options, depth), root, name=name, depth=depth + 1)
    if isinstance(schema.get("allOf"), list):
        merged: Json = {}
        for part in cast("list[Json]", schema["allOf"]):
            merged |= _resolved(part["$ref"], root) if isinstance(part.get("$ref"), str) else part
        return _value(merged, root, name=name, depth=depth + 1)
    return _typed(schema, root, name=name, depth=depth)


def _typed(schema: Json, root: Json, *, name: str, depth: int) -> object:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0] if kind else "null"
    match kind:
        case "object":
            properties = cast("dict[str, Json]", schema.get("properties", {}))
            return {
                key: _value(nested, root, name=key, depth=depth + 1)
                for key, nested in properties.items()
            }
        case "array":
            items = cast("Json", schema.get("items", {}))
            least = cast("int", schema.get("minItems", 1 if depth < 4 else 0))
            least = min(least, cast("int", schema.get("maxItems", least)))
            return [_value(items, root, name=name, depth=depth + 1) for _ in range(least)]
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _string(schema, name)


def _number(schema: Json) -> object:
    low = schema.get("minimum")
    if low is not None:
        return low
    if (above := schema.get("exclusiveMinimum")) is not None:
        return cast("int", above) + 1
    if (high := schema.get("maximum")) is not None:
        return min(cast("int", high), 1)
    return 1


def _string(schema: Json, name: str) -> str:
    text = _FORMATS.get(str(schema.get("format")), f"a {name}")
    least, most = schema.get("minLength"), schema.get("maxLength")
    if isinstance(least, int):
        text = text.ljust(least, ".")
    return text[:most] if isinstance(most, int) else text


def _easiest(options: list[Json], depth: int) -> Json:
    """Return the first option; deep inside a recursion the one that ends it."""
    if depth > 4:
        for option in options:
            if option.get("type") == "null":
                return option
    return options[0] if options else {}


def _resolved(reference: object, root: Json) -> Json:
    found: object = root
    for step in str(reference).removeprefix("#").strip("/").split("/"):
        if step:
            name = step.replace("~1", "/").replace("~0", "~")
            found = cast("Json", found).get(name, {}) if isinstance(found, dict) else {}
    return cast("Json", found)
