"""What this instance may dispatch of a limit that all instances share."""

from llmproxy.rules.lease.lease import Lease
from llmproxy.rules.lease.words import LIFE_SLOTS, SLOT_S, WINDOW_SLOTS, Ask, Burst, Charge, Grant

__all__ = ["LIFE_SLOTS", "SLOT_S", "WINDOW_SLOTS", "Ask", "Burst", "Charge", "Grant", "Lease"]
