"""Asks a proxy whether it accepts traffic, for the HEALTHCHECK of the image:
`python -m llmproxy.tools.ready [URL]`.

Without URL it asks the address in LLMPROXY_READY_URL, or else http://127.0.0.1:4000; it may also be
`https://...` or `unix:/path/of/a/socket`. The status is 0 if `/readyz` answers 200, and otherwise
1, with the reason on stderr. It imports a socket and no HTTP client, because it runs every few
seconds beside the proxy.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence

DEFAULT_URL = "http://127.0.0.1:4000"
TIMEOUT_S = 2.0
_PORTS = {"http": 80, "https": 443}


def main(arguments: Sequence[str]) -> int:
    """Print why the proxy is not ready, if it is not; return the exit status."""
    url = arguments[0] if arguments else os.environ.get("LLMPROXY_READY_URL", DEFAULT_URL)
    reason = why_not_ready(url)
    if reason is not None:
        print(f"{url} is not ready: {reason}", file=sys.stderr)  # noqa: T201
    return 0 if reason is None else 1


def why_not_ready(url: str) -> str | None:
    """Return why a proxy does not accept traffic; None = it does."""
    try:
        with _connected(url) as connection:
            authority = url.partition("://")[2].partition("/")[0] or "localhost"
            request = f"GET /readyz HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n"
            connection.sendall(request.encode())
            line = connection.recv(4096).partition(b"\r\n")[0].decode("ascii", "replace")
    except (OSError, ValueError) as error:
        return f"{error}."
    version, _, status = line.partition(" ")
    if version.startswith("HTTP/1.") and status.startswith("200"):
        return None
    return f"/readyz answered {line!r}."


def _connected(url: str) -> socket.socket:
    """Connect to the server of a URL. Raises OSError; and ValueError for a URL that is none."""
    if url.startswith("unix:"):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(TIMEOUT_S)
        try:
            connection.connect(url.removeprefix("unix:").removeprefix("//"))
        except OSError:
            connection.close()
            raise
        return connection
    scheme, _, rest = url.partition("://")
    if scheme not in _PORTS or not rest:
        raise ValueError(f"expected an address such as {DEFAULT_URL}")
    authority = rest.partition("/")[0]
    host, _, port = authority.rpartition(":")
    if not host or host.endswith(":"):  # no port; an IPv6 address has brackets
        host, port = authority, str(_PORTS[scheme])
    host = host.strip("[]")
    connection = socket.create_connection((host, int(port)), timeout=TIMEOUT_S)
    return _encrypted(connection, host) if scheme == "https" else connection


def _encrypted(connection: socket.socket, host: str) -> socket.socket:
    import ssl  # noqa: PLC0415 - slow to import

    # The certificate names the address that clients use, which is not the one on this machine.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(connection, server_hostname=host)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
