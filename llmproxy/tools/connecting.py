"""How the commands connect to a proxy: through a UNIX socket, or by TLS."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from functools import partial
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.request import BaseHandler, HTTPHandler, HTTPSHandler, Request

from llmproxy.batteries.addresses import UNIX

# A PEM file with the certificate and the key of the command, for a proxy that wants one.
CLIENT_CERTIFICATE = "LLMPROXY_CLIENT_CERT"


def handlers(url: str, certificate: str | None, environ: Mapping[str, str]) -> list[BaseHandler]:
    """Return what connects to a proxy. Raises OSError for files that cannot be used.

    `certificate`: the file of the only certificate that is trusted, whatever names it has: the
    proxy's own, on this machine. None: those of the system, or of SSL_CERT_FILE.
    """
    if url.startswith(UNIX):
        return [_UnixHandler(url.removeprefix(UNIX))]
    if not url.startswith("https://"):
        return []
    context = ssl.create_default_context()
    if certificate is not None:
        from llmproxy.batteries.tls import first_pem  # noqa: PLC0415

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=first_pem(Path(certificate).read_text("ascii")))
    if own := environ.get(CLIENT_CERTIFICATE):
        context.load_cert_chain(own)
    return [HTTPSHandler(context=context)]


class _UnixHandler(HTTPHandler):
    """Sends requests through a UNIX socket."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(partial(_UnixConnection, self._path), req)


class _UnixConnection(HTTPConnection):
    """A connection through a UNIX socket; the host is only the name in the request."""

    def __init__(self, path: str, host: str, **options: Any) -> None:
        super().__init__(host, **options)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
