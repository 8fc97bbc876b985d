from llmproxy.config.loading import load_config, parse_config
from llmproxy.config.models import (
    OPENAI_BASE_URL,
    Config,
    GeneralSettings,
    ModelEntry,
    ModelGroup,
    Params,
    Strategy,
    Timeouts,
    TokenProvider,
)

__all__ = [
    "OPENAI_BASE_URL",
    "Config",
    "GeneralSettings",
    "ModelEntry",
    "ModelGroup",
    "Params",
    "Strategy",
    "Timeouts",
    "TokenProvider",
    "load_config",
    "parse_config",
]
