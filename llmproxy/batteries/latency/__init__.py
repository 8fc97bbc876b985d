"""The strategy `latency`: the faster of two endpoints takes the call (decision 046).

The only module of this package that others import. Without it, a config with `strategy: latency` is
refused.
"""

from __future__ import annotations

from llmproxy.batteries.latency.strategy import LowestLatency
from llmproxy.routing.strategies import STRATEGIES, Strategies

__all__ = ["ALL_STRATEGIES"]

ALL_STRATEGIES: Strategies = {**STRATEGIES, "latency": LowestLatency()}
