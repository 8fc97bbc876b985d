"""What differs between Anthropic's models, by the version in their names.

Source: Anthropic's "Troubleshooting thinking", "Thinking support, defaults, and rejected
configurations by model" (November 2026), and its migration guide to 4.7 (sampling).
"""

from __future__ import annotations

import re

_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d+)(?:[-.](\d{1,2})(?!\d))?")
NEWEST = (99, 0)


def version_of(model: str) -> tuple[int, int] | None:
    """Return the version of a model of Anthropic's; None of any other. Unknown is the newest."""
    if "claude" not in model:
        return None
    found = _VERSION.search(model)
    return NEWEST if found is None else (int(found[1]), int(found[2] or 0))


def thinks_adaptively(model: str) -> bool:
    """Return whether it decides itself how much it thinks, bounded by an effort."""
    version = version_of(model)
    return version is not None and version >= (4, 6)


def refuses_sampling(model: str) -> bool:
    """Return whether it refuses `temperature`, `top_p` and `top_k`."""
    version = version_of(model)
    return version is not None and version >= (4, 7)


def always_thinks(model: str) -> bool:
    """Return whether it refuses that thinking be disabled."""
    return "fable" in model or "mythos" in model
