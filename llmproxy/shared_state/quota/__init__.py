"""What this instance may dispatch of a limit that all instances share."""

from llmproxy.shared_state.quota.lease import Lease
from llmproxy.shared_state.quota.words import (
    LIFE_SLOTS,
    SLOT_S,
    WINDOW_SLOTS,
    Ask,
    Burst,
    Charge,
    Grant,
)

__all__ = ["LIFE_SLOTS", "SLOT_S", "WINDOW_SLOTS", "Ask", "Burst", "Charge", "Grant", "Lease"]
