"""What the cache has done since the start, for the operator."""

from __future__ import annotations

import msgspec

from llmproxy.cache.cached_answer import CachedAnswer
from llmproxy.record import CacheResult


class CacheCounters(msgspec.Struct, gc=False):
    """Calls by what they had of the cache, answers kept, and what was not paid for.

    Tokens and US dollars are those of the answers that were given again, as they were counted and
    priced when they were new.
    """

    hits: int = 0
    misses: int = 0
    coalesced: int = 0
    stale: int = 0
    kept: int = 0
    saved_input_tokens: int = 0
    saved_output_tokens: int = 0
    saved_usd: float = 0.0

    def count_served(self, result: CacheResult, answer: CachedAnswer | None) -> None:
        """An answer was given again; `result`: hit, stale or coalesced."""
        if result is CacheResult.HIT:
            self.hits += 1
        elif result is CacheResult.STALE:
            self.stale += 1
        else:
            self.coalesced += 1
        if answer is None:  # too big to be recorded
            return
        self.saved_input_tokens += answer.input_tokens
        self.saved_output_tokens += answer.output_tokens
        self.saved_usd += answer.cost_usd
