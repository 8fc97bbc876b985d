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
]
