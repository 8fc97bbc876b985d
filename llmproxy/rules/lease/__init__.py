"""What this instance may dispatch of a limit that all instances share."""

from llmproxy.rules.lease.lease import Lease
from llmproxy.rules.lease.words import SLOT_S, WINDOW_SLOTS, Ask, Burst, Charge, Grant

__all__ = ["SLOT_S", "WINDOW_SLOTS", "Ask", "Burst", "Charge", "Grant", "Lease"]
