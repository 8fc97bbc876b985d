"""The door: uvicorn with the data plane answered directly (docs/decisions/002)."""

from llmproxy.server.server import Server, make_server

__all__ = ["Server", "make_server"]
