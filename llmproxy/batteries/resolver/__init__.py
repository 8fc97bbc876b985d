"""Looking up host names, with a cache that serves stale addresses in need.

The only module of this package that others import. Without it, the system is asked for each
connection, in the event loop's own threads.
"""

from __future__ import annotations

from llmproxy.batteries.resolver.lookup import CachingResolver

__all__ = ["CachingResolver"]
