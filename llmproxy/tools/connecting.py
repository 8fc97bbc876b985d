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


# In the names of alerts; the last: an authority of the same name has another key.
ABOUT_CERTIFICATES = ("CERTIFICATE", "UNKNOWN_CA", "DECRYPT_ERROR")


class CannotTrustError(Exception):
    """The proxy and the command do not agree on certificates. The text says what to do."""


def handlers(url: str, certificate: str | None, environ: Mapping[str, str]) -> list[BaseHandler]:
    """Return what connects to a proxy. Raises CannotTrustError for files that cannot be used.

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
        try:
            context.load_verify_locations(cadata=first_pem(Path(certificate).read_text("ascii")))
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise CannotTrustError(
                f"The certificate of the config, {certificate}, cannot be read: {why}. Run this as "
                "a user who may read it, or give --url and SSL_CERT_FILE."
            ) from error
    if own := environ.get(CLIENT_CERTIFICATE):
        try:
            context.load_cert_chain(own, password=_no_password)
        except (OSError, ValueError) as error:  # ssl.SSLError is one
            raise CannotTrustError(
                f"{CLIENT_CERTIFICATE}: {own} {_fault(error)}. Write the path of a PEM file with a "
                "certificate and its key, which is not encrypted."
            ) from error
    return [HTTPSHandler(context=context)]


def _no_password() -> str:
    return ""  # else OpenSSL asks at the terminal


def _fault(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None and not _is_tls(error):
        return f"cannot be read: {(error.strerror or str(error)).lower()}"
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return "has the key of another certificate"
    return "has no certificate with its key"


def _is_tls(error: object) -> bool:
    return isinstance(error, ssl.SSLError)


def disagreement(error: object, environ: Mapping[str, str]) -> str | None:
    """Return why a connection by TLS has failed, and the remedy; None if TLS is not the reason."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({error.verify_message}). Give its config, whose "
            "certificate is trusted, or the authority's in SSL_CERT_FILE."
        )
    reason = (error.reason or "") if isinstance(error, ssl.SSLError) else ""
    if "ALERT" in reason and any(word in reason for word in ABOUT_CERTIFICATES):
        own = environ.get(CLIENT_CERTIFICATE)
        found = f"it refuses the certificate in {own}" if own else "it wants a client certificate"
        return (
            f"{found} ({reason.partition('ALERT_')[2].replace('_', ' ').lower()}). "
            f"{CLIENT_CERTIFICATE} is the path of a PEM file with a valid one and its key."
        )
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return "it does not speak TLS. Write http:// in the URL."
    return None


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
