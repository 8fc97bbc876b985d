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
from llmproxy.batteries.settings.identity import (
    ClaimNames,
    Jwt,
    RoleRule,
    SignIn,
    TokenCheck,
)
from llmproxy.batteries.settings.money import AlertTarget, BudgetEntry
from llmproxy.batteries.settings.sections import CacheParams, Caller, Operator, Team, Tracing
from llmproxy.batteries.settings.tls import TlsSettings

__all__ = [
    "AlertTarget",
    "BudgetEntry",
    "CacheParams",
    "Caller",
    "ClaimNames",
    "FullConfig",
    "FullSettings",
    "Jwt",
    "Operator",
    "RoleRule",
    "SignIn",
    "Team",
    "TlsSettings",
    "TokenCheck",
    "Tracing",
    "full",
    "server_settings",
    "shares_state",
]
