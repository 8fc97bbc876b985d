"""The operations of the API: one table of its paths, and one object for each dialect."""

from llmproxy.operations.dialects import CHAT, MESSAGES, OPAQUE, RESPONSES, Dialect, EventKind
from llmproxy.operations.table import OPERATIONS, Caching, Operation, Replay, Route, operation_at
from llmproxy.operations.usage import Usage

__all__ = [
    "CHAT",
    "MESSAGES",
    "OPAQUE",
    "OPERATIONS",
    "RESPONSES",
    "Caching",
    "Dialect",
    "EventKind",
    "Operation",
    "Replay",
    "Route",
    "Usage",
    "operation_at",
]
