"""The step of the story that answers from what is known, and asks the same question once."""

from llmproxy.cache.cache import Cache
from llmproxy.cache.lookup import CachePolicy

__all__ = ["Cache", "CachePolicy"]
