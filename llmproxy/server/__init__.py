"""The HTTP server: uvicorn with a connection class of our own (docs/decisions/002 and 033)."""

from llmproxy.server.server import Server, make_server

__all__ = ["Server", "make_server"]
