"""One view across instances, in Redis or Valkey."""

from llmproxy.adapters.shared.opening import open_shared_view
from llmproxy.adapters.shared.view import SharedStatus, SharedView

__all__ = ["SharedStatus", "SharedView", "open_shared_view"]
