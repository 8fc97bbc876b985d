"""WebSockets: realtime sessions, and Responses over a WebSocket.

The only module of this package that others import. Without it, the core answers a request to
upgrade with 426 (docs/decisions/050).
"""

from llmproxy.batteries.websockets.serving import WebSockets

__all__ = ["WebSockets"]
