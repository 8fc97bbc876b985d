"""How the pieces of a streamed value become the value."""

from __future__ import annotations

from typing import Any

Value = dict[str, Any]

# What comes in pieces that are appended, at the top of a delta and inside of its parts.
TEXTS = frozenset(("content", "refusal", "reasoning_content", "reasoning"))
PART_TEXTS = frozenset(("arguments", "input", "data", "transcript"))
# Parts that are told in pieces, too.
PARTS = frozenset(("function", "custom", "function_call", "audio"))
# What vendors repeat in each piece.
NAMES = frozenset(("role", "id", "type", "name"))


class UncertainError(ValueError):
    """Nobody can know what two pieces add up to."""


class Text(list[str]):
    """A text in pieces, joined at the end: appending to a string would copy it each time."""


def merge(into: Value, piece: Value, texts: frozenset[str]) -> None:
    """Add one piece of a delta, or of a part of it. Raises UncertainError."""
    for key, value in piece.items():
        known = into.get(key)
        if value is None:
            into.setdefault(key, None)
        elif key in texts:
            _append(into, key, value)
        elif key == "tool_calls":
            _merge_calls(into, value)
        elif key in PARTS and isinstance(value, dict):
            into[key] = part = known if isinstance(known, dict) else {}
            merge(part, value, PART_TEXTS)
        elif key == "annotations" and isinstance(value, list):
            into[key] = [*(known or ()), *value]
        elif known is None:
            into[key] = value
        elif key not in NAMES or known != value:
            raise UncertainError(key)


def merge_lists(into: Value, piece: Value) -> None:
    """Add one piece of logprobs: lists that grow. Raises UncertainError."""
    for key, value in piece.items():
        if value is None:
            into.setdefault(key, None)
        elif isinstance(value, list):
            into[key] = [*(into.get(key) or ()), *value]
        else:
            raise UncertainError(key)


def settled(value: Any) -> Any:
    """A merged value without anything that was only there for merging."""
    if isinstance(value, Text):
        return "".join(value)
    if isinstance(value, Calls):
        return [settled(value[index]) for index in sorted(value)]
    if isinstance(value, dict):
        return {key: settled(each) for key, each in value.items()}
    return value


class Calls(dict[int, Value]):
    """Calls of tools by their index, which says only which of them a piece belongs to."""


def _append(into: Value, key: str, value: object) -> None:
    text = into.get(key)
    if not isinstance(value, str):
        raise UncertainError(key)
    if not isinstance(text, Text):
        text = into[key] = Text()
    text.append(value)


def _merge_calls(into: Value, pieces: object) -> None:
    calls = into.get("tool_calls")
    if not isinstance(calls, Calls):
        calls = into["tool_calls"] = Calls()
    if not isinstance(pieces, list):
        raise UncertainError("tool_calls")
    for piece in pieces:
        index = piece.get("index") if isinstance(piece, dict) else None
        if not isinstance(index, int):
            raise UncertainError("tool_calls")
        call = calls.setdefault(index, {})
        merge(call, {key: value for key, value in piece.items() if key != "index"}, PART_TEXTS)
