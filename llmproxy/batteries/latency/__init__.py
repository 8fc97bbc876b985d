"""The strategy `latency`: the faster of two endpoints takes the call (decision 043).

The only module of this package that others import. Without it, a config with `strategy: latency` is
refused.
"""

from __future__ import annotations

from collections.abc import Mapping

from llmproxy.batteries.latency.strategy import LowestLatency
from llmproxy.config import Strategy as StrategyName
from llmproxy.routing.strategies import STRATEGIES, Strategy

__all__ = ["ALL_STRATEGIES"]

ALL_STRATEGIES: Mapping[StrategyName, Strategy] = {**STRATEGIES, "latency": LowestLatency()}
