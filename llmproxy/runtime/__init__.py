"""What is alive, and how long it lives:

LiveConfig         the process      which config is served; changes it while calls go on
  ProcessState     the process      what survives that: waiting calls, limits used, capacities
    SharedResources  while in use   connections, cache, peers: opened once for equal settings
  Runtime          one config       the steps of a call; replaced without an `await`
    Resources      one config       what it has open; closed after its last call
"""

from llmproxy.runtime.live_config import LiveConfig, LoadStatus, NoFile, open_live_config
from llmproxy.runtime.pool import pool_of
from llmproxy.runtime.process_state import RuntimeBatteries
from llmproxy.runtime.runtime import Runtime

__all__ = [
    "LiveConfig",
    "LoadStatus",
    "NoFile",
    "Runtime",
    "RuntimeBatteries",
    "open_live_config",
    "pool_of",
]
