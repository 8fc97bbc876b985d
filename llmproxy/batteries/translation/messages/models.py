"""What differs between Anthropic's models, by the version in their names.

Source: Anthropic's "Troubleshooting thinking", "Thinking support, defaults, and rejected
configurations by model" (November 2026), its migration guide to 4.7 (sampling), and "Models
overview" (output).
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


def output_bound_of(model: str) -> int:
    """Return how many tokens an answer may have that is given no bound: what each model of its
    version can write."""
    version = version_of(model) or NEWEST
    if version < (3, 5):
        return 4096
    return 8192 if version < (3, 7) else 32_000


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
