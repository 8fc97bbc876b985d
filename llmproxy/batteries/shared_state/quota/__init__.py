"""What this instance may dispatch of a limit that all instances share."""

from llmproxy.batteries.shared_state.quota.lease import Lease
from llmproxy.batteries.shared_state.quota.messages import (
    LIFE_SLOTS,
    SLOT_S,
    WINDOW_SLOTS,
    BurstLimit,
    QuotaReply,
    QuotaRequest,
    UsageReport,
)

__all__ = [
    "LIFE_SLOTS",
    "SLOT_S",
    "WINDOW_SLOTS",
    "BurstLimit",
    "Lease",
    "QuotaReply",
    "QuotaRequest",
    "UsageReport",
]
