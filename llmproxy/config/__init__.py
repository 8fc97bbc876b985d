from llmproxy.config.base import CacheMode, Strategy, TokenProvider
from llmproxy.config.caching import CacheParams
from llmproxy.config.callers import Caller
from llmproxy.config.changes import differences, kept_until_restart
from llmproxy.config.environment import config_from_environment
from llmproxy.config.general import GeneralSettings, Timeouts, shares_state
from llmproxy.config.limits import Limits, Price, Queue
from llmproxy.config.loading import config_text, load_config, parse_config
from llmproxy.config.models import (
    OPENAI_BASE_URL,
    Config,
    ModelEntry,
    ModelGroup,
    Params,
)
from llmproxy.config.showing import json_schema, masked
from llmproxy.config.tracing import Tracing

__all__ = [
    "OPENAI_BASE_URL",
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
    "Timeouts",
    "TokenProvider",
    "Tracing",
    "config_from_environment",
    "config_text",
    "differences",
    "json_schema",
    "kept_until_restart",
    "load_config",
    "masked",
    "parse_config",
    "shares_state",
]
