"""The whole config: the core's sections, and those that only batteries read.

All batteries may import it.
"""

from llmproxy.batteries.settings.general import (
    FullConfig,
    FullSettings,
    full,
    server_settings,
    shares_state,
)
from llmproxy.batteries.settings.sections import CacheParams, Caller, Operator, Team, Tracing

__all__ = [
    "CacheParams",
    "Caller",
    "FullConfig",
    "FullSettings",
    "Operator",
    "Team",
    "Tracing",
    "full",
    "server_settings",
    "shares_state",
]
