"""Names of tools in namespaces, which only the Responses API has.

A namespace holds functions under one name and description; Codex declares each MCP server as one.
A call of such a tool has `name` and `namespace`. Other dialects have one flat list of names, of at
most 64 letters, digits, `_` and `-` (OpenAI's chat; Anthropic allows 128).
"""

from __future__ import annotations

from hashlib import sha256

LONGEST = 64


def joined(namespace: str | None, name: str) -> str:
    """Return the flat name of a tool, the same for the same two names.

    One that would be too long ends with a hash in place of what is cut off.
    """
    if not namespace:
        return name
    flat = f"{namespace}__{name}"
    if len(flat) <= LONGEST:
        return flat
    digest = sha256(flat.encode()).hexdigest()[:8]
    return f"{flat[: LONGEST - 9]}_{digest}"
