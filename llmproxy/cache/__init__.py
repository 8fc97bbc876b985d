"""The step of the story that answers from what is known, and asks the same question once."""

from llmproxy.cache.cache import Cache
from llmproxy.cache.question import Questions

__all__ = ["Cache", "Questions"]
