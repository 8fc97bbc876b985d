"""A handshake that says to both sides why it failed.

Event loops close a connection whose handshake fails before what OpenSSL has to say about it is
sent. Clients then see a connection that was reset, and look for the fault in the network.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from contextvars import ContextVar
from typing import Any, NamedTuple

_BODY = (
    b'{"error":{"message":"This port speaks TLS: write https:// in the URL.",'
    b'"type":"invalid_request_error","param":null,"code":"tls_required"}}'
)
_ANSWER_TO_HTTP = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
    b"connection: close\r\n\r\n%b" % (len(_BODY), _BODY)
)


class Failure(NamedTuple):
    """Why a connection ended before its first request.

    `reason`: one word, for metrics. `found`: a sentence for operators. `remedy`: what they can do;
    empty: nothing, and it is not worth a line in the log.
    """

    reason: str
    found: str
    remedy: str


# The socket of the connection that a task begins. It is set before the event loop makes the TLS of
# the connection, which it does in the task's context.
being_accepted: ContextVar[socket.socket | None] = ContextVar("being_accepted", default=None)


class UnreadableCertificateError(ssl.SSLError):
    """The names in a client's certificate cannot be read."""


class HandshakeObject(ssl.SSLObject):
    """The TLS of one connection. `connected` and `outgoing`: where what it says is sent from."""

    connected: socket.socket | None = None
    outgoing: ssl.MemoryBIO

    def do_handshake(self) -> None:
        """Go on with the handshake; if it fails, tell the client."""
        try:
            super().do_handshake()
            self.getpeercert()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            if self.connected is not None:
                with contextlib.suppress(OSError):  # it has left, or does not read
                    self.connected.send(_last_words(error, self.outgoing))
            raise
        except ValueError as error:
            raise UnreadableCertificateError(str(error)) from error


class RenewedContext(ssl.SSLContext):
    """A context that gives each new connection the current one."""

    current: ssl.SSLContext

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **options: Any
    ) -> ssl.SSLObject:
        """Begin the TLS of a connection."""
        begun = self.current.wrap_bio(incoming, outgoing, *args, **options)
        if isinstance(begun, HandshakeObject):
            begun.connected, begun.outgoing = being_accepted.get(), outgoing
        return begun


def _last_words(error: ssl.SSLError, outgoing: ssl.MemoryBIO) -> bytes:
    return _ANSWER_TO_HTTP if error.reason == "HTTP_REQUEST" else outgoing.read()


# In the names of alerts; the last: an authority of the same name has another key.
_ABOUT_CERTIFICATES = ("CERTIFICATE", "UNKNOWN_CA", "DECRYPT_ERROR")
_NO_TLS = Failure(
    "no_tls",
    "it sent something else than TLS.",
    "This port serves HTTPS only; who sends PROXY headers belongs into proxy_protocol.",
)
_VERSION = Failure("version", "it knows neither TLS 1.2 nor 1.3.", "Update the client.")
_BY_REASON = {
    "HTTP_REQUEST": Failure(
        "plain_http", "it sent plain HTTP.", "Write https:// in the client's base URL."
    ),
    "HTTPS_PROXY_REQUEST": Failure(
        "plain_http", "it asked for a tunnel.", "This is no forward proxy: see its HTTPS_PROXY."
    ),
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "UNKNOWN_PROTOCOL": _NO_TLS,
    "UNSUPPORTED_PROTOCOL": _VERSION,
    "VERSION_TOO_LOW": _VERSION,
    "TLSV1_ALERT_PROTOCOL_VERSION": _VERSION,
    "NO_SHARED_CIPHER": Failure(
        "cipher",
        "it knows no cipher suite of ours.",
        "Update the client, or give it ECDHE with AES-GCM or ChaCha20.",
    ),
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": Failure(
        "no_certificate",
        "it has no client certificate.",
        "Give it one of tls.client_ca, or write tls.client_certificate: optional.",
    ),
}


def failure_of(error: OSError) -> Failure:
    """Return why a handshake has failed, in plain words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        found = f"its certificate is refused: {error.verify_message}."
        remedy = "Give it a valid one that an authority in tls.client_ca has signed."
        return Failure("certificate", found, remedy)
    if isinstance(error, UnreadableCertificateError):
        found = "the names in its certificate are not UTF-8."
        return Failure("certificate", found, "Give it one that: openssl x509 -text can show.")
    if isinstance(error, TimeoutError) or "taking longer" in str(error):
        return Failure("timeout", "it took too long.", "It may take timeouts.header_s.")
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError):
        return Failure("left", "it left.", "")
    reason = error.reason or ""
    if known := _BY_REASON.get(reason):
        return known
    if "ALERT" in reason and any(word in reason for word in _ABOUT_CERTIFICATES):
        found = f"it refuses the proxy's certificate ({_in_words(reason)})."
        remedy = "Let it trust the authority, and see whether tls.cert has the whole chain."
        return Failure("distrust", found, remedy)
    found = f"{_in_words(reason) or error}."
    return Failure("other", found, "See it: openssl s_client -connect HOST:PORT.")


def _in_words(reason: str) -> str:
    words = reason.partition("ALERT_")[2] or reason
    return words.replace("_", " ").lower()
