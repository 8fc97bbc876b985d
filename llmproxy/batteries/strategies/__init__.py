"""The strategies beside `weighted`: `least_busy`, `cheapest` and `latency` (decision 046).

The only module of this package that others import. Without it, a config that names one of them is
refused.
"""

from __future__ import annotations

from llmproxy.batteries.strategies.cheapest import Cheapest, warn_without_price
from llmproxy.batteries.strategies.latency import LowestLatency
from llmproxy.batteries.strategies.least_busy import LeastBusy
from llmproxy.routing.strategies import Strategies, Strategy

__all__ = ["ALL_STRATEGIES", "warn_without_price"]

ALL_STRATEGIES: Strategies = {
    "weighted": Strategy(),
    "least_busy": LeastBusy(),
    "cheapest": Cheapest(),
    "latency": LowestLatency(),
}
