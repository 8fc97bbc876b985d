"""The answer cache: it answers calls from earlier answers, and sends equal calls only once."""

from llmproxy.cache.cache import Cache
from llmproxy.cache.lookup import CachePolicy

__all__ = ["Cache", "CachePolicy"]
