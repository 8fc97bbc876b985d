"""Fallbacks between model groups: asks others if a group could not serve a call (decision 052).

The only module of this package that others import. Without it, a config with fallbacks is refused.
"""

from __future__ import annotations

from llmproxy.batteries.fallbacks.asking import with_fallbacks
from llmproxy.batteries.fallbacks.following import Fallbacks, Followers, followers_of

__all__ = ["Fallbacks", "Followers", "followers_of", "with_fallbacks"]
