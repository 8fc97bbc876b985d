"""Several processes on one port: workers that serve calls, and a supervisor that replaces them.

The supervisor serves no calls. It has no event loop and no threads, so it can fork a worker at any
time: a worker starts with every module imported and with the config that was checked at the start.
"""

from llmproxy.workers.starting import serve_with_workers

__all__ = ["serve_with_workers"]
