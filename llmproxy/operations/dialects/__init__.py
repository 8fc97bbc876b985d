"""The dialects of the API. One object for each holds everything that depends on the dialect.

To add one, subclass `Dialect` in a new file here, and use it in the table of operations.
"""

from llmproxy.operations.dialects.base import Dialect, EventKind
from llmproxy.operations.dialects.chat import CHAT
from llmproxy.operations.dialects.messages import MESSAGES
from llmproxy.operations.dialects.opaque import OPAQUE
from llmproxy.operations.dialects.responses import RESPONSES

__all__ = ["CHAT", "MESSAGES", "OPAQUE", "RESPONSES", "Dialect", "EventKind"]
