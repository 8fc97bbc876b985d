"""Hedging: a second attempt beside one whose endpoint is silent for unusually long (decision 037).

The only module of this package that others import. Without it, a call waits for a silent
endpoint until a timeout of the operator or of the client ends it.
"""

from __future__ import annotations

from llmproxy.batteries.hedging.promptness import LOOK_AGAIN_S
from llmproxy.batteries.hedging.race import Alarms
from llmproxy.batteries.hedging.silence import GroupHedging

__all__ = ["LOOK_AGAIN_S", "Hedger"]


class Hedger:
    """Makes the hedging of each group of one process. All groups share one timer."""

    def __init__(self) -> None:
        self._alarms = Alarms()

    def __call__(self) -> GroupHedging:
        """Return the hedging of a new group."""
        return GroupHedging(self._alarms)
