"""What OpenAI's models and its API bound, whatever the dialect. Pure.

Source: docs/project/upstreams.md, "Parameters that are refused" and "What endpoints speak".
"""

from __future__ import annotations

import re
from hashlib import sha256

from llmproxy.batteries.translation.hub import Reasoning

MAX_ID = 40  # characters of the id of a tool call
MAX_USER = 64
# Models that reason; the others refuse what is said of it.
_TAKES_MORE_EFFORT = re.compile(r"(.*/)?gpt-(5\.[2-9]|5\.1-codex-max|6)")
_TAKES_MINIMAL = re.compile(r"(.*/)?gpt-5(-|$)")
_ALWAYS_REASONS = re.compile(r"(.*/)?(o[1-9]|gpt-oss)")
# Anthropic's older bound of thinking, in tokens, and the effort that spends about as much.
_EFFORTS_BY_BUDGET = ((4096, "low"), (16384, "medium"))
_REASONS = re.compile(r"(.*/)?(o[1-9]|gpt-(5|6|oss)|codex)")


def model_reasons(model: str) -> bool:
    """Return whether a model reasons, by its name."""
    return _REASONS.match(model) is not None


def bounded(text: str, most: int) -> str:
    """Return a text, if it is too long its digest: equal for equal texts."""
    return text if len(text) <= most else sha256(text.encode()).hexdigest()[:most]


def effort_of(wanted: Reasoning, model: str) -> str | None:
    """Return the effort to ask a model for, of those that it takes; None = its own default."""
    if wanted.enabled is False:
        if _TAKES_MINIMAL.match(model):
            return "minimal"
        return None if _ALWAYS_REASONS.match(model) else "none"
    if wanted.effort is not None:
        more = wanted.effort in ("xhigh", "max") and not _TAKES_MORE_EFFORT.match(model)
        return "high" if more else wanted.effort
    budget = wanted.budget_tokens
    if budget is None:
        return None
    return next((name for most, name in _EFFORTS_BY_BUDGET if budget <= most), "high")
