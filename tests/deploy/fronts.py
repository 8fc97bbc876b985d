"""What the tests of fronts share: a client's address, and the paths that clients may not reach."""

import socket
from shutil import which

import pytest

CLIENT = "127.0.0.9"
PATH = "/usr/sbin:/usr/bin:/bin"
HIDDEN = (
    *("/metrics", "/health", "/docs", "/openapi.json", "/admin", "/admin/state", "/dashboard"),
    "//metrics",
)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def installed(names):
    """Parameters for the fronts, where those that this machine lacks are skipped."""
    return [
        pytest.param(name, marks=pytest.mark.skipif(which(name) is None, reason="not installed"))
        for name in names
    ]
