"""Several processes on one port: N workers that serve, and a supervisor that keeps their number.

The supervisor serves nothing. It has no event loop and no threads, so that it can fork a worker at
any time: a worker begins with everything imported, and with the config that was checked at the
start.
"""

from llmproxy.workers.starting import serve_with_workers

__all__ = ["serve_with_workers"]
