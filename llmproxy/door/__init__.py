"""The door: uvicorn with the data plane answered directly (docs/decisions/002)."""

from llmproxy.door.server import run_server

__all__ = ["run_server"]
