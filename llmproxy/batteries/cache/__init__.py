"""The answer cache: it serves stored answers, and sends identical calls upstream only once.

Other packages import only this module. `Caches` opens caches from the settings; the other names are
for the admin API. redis-py and sqlite3 are imported when a store needs them.
"""

from llmproxy.batteries.cache.answers import CacheCounters
from llmproxy.batteries.cache.cache import TwoLevelCache
from llmproxy.batteries.cache.opening import Caches
from llmproxy.batteries.cache.stores.base import StoreCounters, StoreError
from llmproxy.batteries.cache.stores.l2 import L2Store

__all__ = ["CacheCounters", "Caches", "L2Store", "StoreCounters", "StoreError", "TwoLevelCache"]
