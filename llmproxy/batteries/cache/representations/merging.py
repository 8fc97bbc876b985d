"""How the deltas of a stream add up to a value, and how a text is cut into deltas."""

from __future__ import annotations

from typing import Any

Value = dict[str, Any]

# Texts that come in deltas, at the top of a delta and inside its parts.
TEXTS = frozenset(("content", "refusal", "reasoning_content", "reasoning"))
PART_TEXTS = frozenset(("arguments", "input", "data", "transcript"))
# Parts that come in deltas.
PARTS = frozenset(("function", "custom", "function_call", "audio"))
# Values that vendors repeat in each delta.
NAMES = frozenset(("role", "id", "type", "name"))
# As small as vendors send them: one event is one line, and some clients cannot read lines above
# 64 KiB.
DELTA_CHARACTERS = 200


class AmbiguousError(ValueError):
    """It is not certain what two deltas add up to."""


class Text(list[str]):
    """The deltas of a text, joined at the end: appending to a string would copy it each time."""


class ToolCalls(dict[int, Value]):
    """Tool calls by their index, which only says to which of them a delta belongs."""


def deltas_of(text: str) -> list[str]:
    """Cut a text into deltas; none for an empty text."""
    return [text[at : at + DELTA_CHARACTERS] for at in range(0, len(text), DELTA_CHARACTERS)]


def merge(into: Value, delta: Value, texts: frozenset[str]) -> None:
    """Add a delta, or a part of one. Raises AmbiguousError."""
    for key, value in delta.items():
        known = into.get(key)
        if value is None:
            into.setdefault(key, None)
        elif key in texts:
            _append(into, key, value)
        elif key == "tool_calls":
            _merge_tool_calls(into, value)
        elif key in PARTS and isinstance(value, dict):
            into[key] = part = known if isinstance(known, dict) else {}
            merge(part, value, PART_TEXTS)
        elif key == "annotations" and isinstance(value, list):
            into[key] = [*(known or ()), *value]
        elif known is None:
            into[key] = value
        elif key not in NAMES or known != value:
            raise AmbiguousError(key)


def merge_lists(into: Value, delta: Value) -> None:
    """Add a delta of logprobs: lists that grow. Raises AmbiguousError."""
    for key, value in delta.items():
        if value is None:
            into.setdefault(key, None)
        elif isinstance(value, list):
            into[key] = [*(into.get(key) or ()), *value]
        else:
            raise AmbiguousError(key)


def merged(value: Any) -> Any:
    """Return a value with its texts joined and its tool calls as a list."""
    if isinstance(value, Text):
        return "".join(value)
    if isinstance(value, ToolCalls):
        return [merged(value[index]) for index in sorted(value)]
    if isinstance(value, dict):
        return {key: merged(part) for key, part in value.items()}
    return value


def _append(into: Value, key: str, value: object) -> None:
    text = into.get(key)
    if not isinstance(value, str):
        raise AmbiguousError(key)
    if not isinstance(text, Text):
        text = into[key] = Text()
    text.append(value)


def _merge_tool_calls(into: Value, deltas: object) -> None:
    calls = into.get("tool_calls")
    if not isinstance(calls, ToolCalls):
        calls = into["tool_calls"] = ToolCalls()
    if not isinstance(deltas, list):
        raise AmbiguousError("tool_calls")
    for delta in deltas:
        index = delta.get("index") if isinstance(delta, dict) else None
        if not isinstance(index, int):
            raise AmbiguousError("tool_calls")
        call = calls.setdefault(index, {})
        merge(call, {key: value for key, value in delta.items() if key != "index"}, PART_TEXTS)
