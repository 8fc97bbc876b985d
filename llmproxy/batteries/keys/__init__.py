"""Keys and teams that are made at run time: known on every instance within a second.

The only module of this package that others import. Without it, there are the callers of the config
only. SQLAlchemy is imported when a store is opened.
"""

from llmproxy.batteries.keys.known import KnownKeys
from llmproxy.batteries.keys.opening import Keys
from llmproxy.batteries.keys.orders import OrderError

__all__ = ["Keys", "KnownKeys", "OrderError"]
