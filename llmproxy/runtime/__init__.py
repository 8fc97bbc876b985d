"""What is alive, and how long it lives:

LiveConfig      the process   which config is served
  ProcessState  the process   what outlives a config: waiting calls, limits used, capacities
  Runtime       one config    the steps of a call; replaced without an `await`
    Resources   one config    what it has open; closed after its last call
"""

from llmproxy.runtime.live_config import LiveConfig, open_live_config
from llmproxy.runtime.pool import States, capacity_key, pool_of
from llmproxy.runtime.process_state import RuntimeBatteries
from llmproxy.runtime.resources import open_resources
from llmproxy.runtime.runtime import Runtime

__all__ = [
    "LiveConfig",
    "Runtime",
    "RuntimeBatteries",
    "States",
    "capacity_key",
    "open_live_config",
    "open_resources",
    "pool_of",
]
