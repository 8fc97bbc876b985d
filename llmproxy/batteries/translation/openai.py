"""What OpenAI's models and its API bound, whatever the dialect. Pure.

Source: docs/facts/upstreams.md, "Parameters that are refused" and "What endpoints speak".
"""

from __future__ import annotations

import re
from hashlib import sha256

MAX_ID = 40  # characters of the id of a tool call
MAX_USER = 64
# Models that reason; the others refuse what is said of it.
_REASONS = re.compile(r"(.*/)?(o[1-9]|gpt-(5|6|oss)|codex)")


def model_reasons(model: str) -> bool:
    """Return whether a model reasons, by its name."""
    return _REASONS.match(model) is not None


def bounded(text: str, most: int) -> str:
    """Return a text, if it is too long its digest: equal for equal texts."""
    return text if len(text) <= most else sha256(text.encode()).hexdigest()[:most]
