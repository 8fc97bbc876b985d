"""What the tests of fronts share: a client's address, and the paths that clients may not reach."""

import socket

CLIENT = "127.0.0.9"
PATH = "/usr/sbin:/usr/bin:/bin"
HIDDEN = (
    *("/metrics", "/health", "/docs", "/openapi.json", "/admin", "/admin/state", "/dashboard"),
    "//metrics",
)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]
