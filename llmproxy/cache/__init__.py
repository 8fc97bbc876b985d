"""The answer cache: it answers calls from earlier answers, and sends equal calls only once.

The door of this battery is `Caches`.
"""

from llmproxy.cache.cache import Cache
from llmproxy.cache.opening import Caches

__all__ = ["Cache", "Caches"]
