"""The step of the story that answers from what is known, and asks the same question once."""

from llmproxy.stages.cache.cache import Cache
from llmproxy.stages.cache.question import Questions

__all__ = ["Cache", "Questions"]
