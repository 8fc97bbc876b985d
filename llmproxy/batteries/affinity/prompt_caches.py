"""The rules of vendors' prompt caches: what they keep, and for how long.

Sources: docs/project/upstreams.md, "Prompt caches".
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from llmproxy.providers.base import Endpoint

BYTES_PER_TOKEN = 4  # of a JSON body, roughly
MINUTE_S, HOUR_S = 60.0, 3600.0


class CacheRules(msgspec.Struct, frozen=True):
    """A vendor's prompt cache.

    `min_tokens`: shorter prompts are not cached. `step_tokens`: longer ones in steps of so many.
    `kept_s`: how long after its last use a prompt may still be cached, at most.
    """

    min_tokens: int
    step_tokens: int
    kept_s: float


USUAL = CacheRules(1024, 128, 10 * MINUTE_S)  # of what is not documented, too
_OPENAI = CacheRules(1024, 128, HOUR_S)
_RULES: dict[str, CacheRules | None] = {
    "openai": _OPENAI,
    "azure": _OPENAI,
    "azure-classic": _OPENAI,
    "anthropic": CacheRules(1024, 1, HOUR_S),
    "cerebras": CacheRules(128, 128, HOUR_S),
    "cohere": None,
    "deepseek": CacheRules(64, 64, 4 * HOUR_S),
    "groq": CacheRules(128, 128, 2 * HOUR_S),
}


def rules_of(provider: str) -> CacheRules | None:
    """Return the rules of a provider by its name; None: it has no prompt cache."""
    return _RULES.get(provider, USUAL)


def any_rules_of(endpoints: Iterable[Endpoint]) -> CacheRules | None:
    """Return the most generous rules among endpoints; None if none of them has a prompt cache."""
    found = [rules for e in endpoints if (rules := rules_of(e.provider.name)) is not None]
    if not found:
        return None
    return CacheRules(
        min(rules.min_tokens for rules in found),
        min(rules.step_tokens for rules in found),
        max(rules.kept_s for rules in found),
    )
