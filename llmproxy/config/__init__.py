from llmproxy.config.base import Affinity, CacheMode, Strategy, TokenProvider
from llmproxy.config.general import GeneralSettings, Timeouts, server_settings, shares_state
from llmproxy.config.models import (
    OPENAI_BASE_URL,
    Config,
    ModelEntry,
    ModelGroup,
    Params,
)
from llmproxy.config.sections import CacheParams, Caller, Limits, Price, Queue, Team, Tracing

__all__ = [
    "OPENAI_BASE_URL",
    "Affinity",
    "CacheMode",
    "CacheParams",
    "Caller",
    "Config",
    "GeneralSettings",
    "Limits",
    "ModelEntry",
    "ModelGroup",
    "Params",
    "Price",
    "Queue",
    "Strategy",
    "Team",
    "Timeouts",
    "TokenProvider",
    "Tracing",
    "server_settings",
    "shares_state",
]
