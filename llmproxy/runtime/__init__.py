"""What is alive: made from a Config, and made anew from the next one without losing a call.

A Config opens nothing and a stage owns no connection; everything that must be closed is here.
"""

from llmproxy.runtime.live_config import LiveConfig, LoadStatus, NoFile, open_live_config
from llmproxy.runtime.pool import pool_of
from llmproxy.runtime.runtime import Runtime

__all__ = ["LiveConfig", "LoadStatus", "NoFile", "Runtime", "open_live_config", "pool_of"]
