"""The HTTP server: uvicorn with a connection class of our own (docs/decisions/002 and 033)."""

from llmproxy.server.server import BACKLOG, Listen, MakeConnection, Server, listen, make_server

__all__ = ["BACKLOG", "Listen", "MakeConnection", "Server", "listen", "make_server"]
