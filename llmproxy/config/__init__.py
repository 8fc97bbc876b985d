from llmproxy.config.base import Affinity, CacheMode, Strategy, TokenProvider
from llmproxy.config.general import GeneralSettings, Timeouts
from llmproxy.config.models import (
    OPENAI_BASE_URL,
    Config,
    ModelEntry,
    ModelGroup,
    Params,
)
from llmproxy.config.sections import Limits, Price, Queue

__all__ = [
    "OPENAI_BASE_URL",
    "Affinity",
    "CacheMode",
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
]
