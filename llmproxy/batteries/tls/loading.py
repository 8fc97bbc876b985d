"""Loads certificate, key and the authority of clients, or says what is wrong with which file."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from time import gmtime, strftime, time
from typing import NamedTuple

from llmproxy.batteries.settings import TlsSettings
from llmproxy.batteries.tls.certificate import Certificate, first_pem, read_certificate
from llmproxy.batteries.tls.handshake import HandshakeObject

# TLS 1.2: forward secrecy and authenticated encryption only. TLS 1.3 has nothing else.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
SOON_S = 14 * 86400.0  # renewals are made a month before the end; two weeks before, one has failed


class Wrong(NamedTuple):
    """What is wrong with one of the files: the key that names it, what was found, the remedy."""

    key: str
    found: str
    remedy: str


class FilesRefused(Exception):
    """The files cannot be used."""

    def __init__(self, wrong: Wrong) -> None:
        super().__init__(f"tls.{wrong.key}: {wrong.found} {wrong.remedy}")
        self.wrong = wrong


def context_of(tls: TlsSettings) -> tuple[ssl.SSLContext, Certificate]:
    """Return what new connections are served with, and its certificate. Raises FilesRefused."""
    certificate = _certificate(tls.cert)
    _check_key(tls.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = HandshakeObject
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(tls.cert, tls.key, password=_no_password)
    except (ssl.SSLError, OSError) as error:
        raise FilesRefused(_why(tls, error)) from error
    if tls.client_ca is not None:
        _trust_clients(context, tls.client_ca, required=tls.client_certificate == "required")
    return context, certificate


def problems_of(tls: TlsSettings) -> Iterator[Wrong]:
    """Yield why the files cannot be used, if they cannot."""
    try:
        context_of(tls)
    except FilesRefused as error:
        yield error.wrong


def warnings_of(tls: TlsSettings, now: float | None = None) -> Iterator[Wrong]:
    """Yield what clients will not accept: a certificate that has expired, expires soon or is not
    valid yet. It is served all the same: an old one is better than none."""
    try:
        certificate = _certificate(tls.cert)
    except FilesRefused:
        return  # it is a problem, not a warning
    now = time() if now is None else now
    if certificate.not_after <= now:
        found = f"the certificate in {tls.cert} expired on {_utc(certificate.not_after)}."
        yield Wrong("cert", found, "Renew it: clients refuse it. It is loaded without a restart.")
    elif certificate.not_after <= now + SOON_S:
        found = f"the certificate in {tls.cert} expires on {_utc(certificate.not_after)}."
        yield Wrong("cert", found, "Renew it, and see why that did not happen by itself.")
    elif certificate.not_before > now:
        found = f"the certificate in {tls.cert} is valid from {_utc(certificate.not_before)} on."
        yield Wrong("cert", found, "Is the clock of this machine right? Clients refuse it.")


def _utc(moment: float) -> str:
    return strftime("%Y-%m-%d %H:%M UTC", gmtime(moment))


def _text(path: str, key: str) -> str:
    try:
        return Path(path).read_text("ascii", "replace")
    except FileNotFoundError:
        remedy = "Check the path; it is relative to the folder that the proxy starts in."
        raise FilesRefused(Wrong(key, f"{path} does not exist.", remedy)) from None
    except PermissionError:
        remedy = "Let the user of the proxy read it: chgrp and chmod 640, or systemd's credentials."
        raise FilesRefused(Wrong(key, f"no permission to read {path}.", remedy)) from None
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        wrong = Wrong(key, f"{path} cannot be read: {why}.", "Write the path of a PEM file.")
        raise FilesRefused(wrong) from None


def _certificate(path: str) -> Certificate:
    try:
        return read_certificate(first_pem(_text(path, "cert")))
    except ValueError:
        found = f"found no certificate in {path}."
        remedy = "Write a PEM file: the server's certificate first, then those that signed it."
        raise FilesRefused(Wrong("cert", found, remedy)) from None


def _check_key(path: str) -> None:
    """Refuse an encrypted key, for which OpenSSL would ask at the terminal."""
    text = _text(path, "key")
    if "ENCRYPTED" in text:
        raise FilesRefused(
            Wrong(
                "key",
                f"the key in {path} is encrypted, and nobody is there to type its password.",
                f"Decrypt it: openssl pkey -in {path} -out plain.pem, and chmod 600 plain.pem.",
            )
        )
    if "PRIVATE KEY-----" not in text:
        found = f"found no private key in {path}."
        remedy = "Write a PEM file that has one: -----BEGIN PRIVATE KEY-----."
        raise FilesRefused(Wrong("key", found, remedy))


def _no_password() -> str:
    return ""


def _why(tls: TlsSettings, error: OSError) -> Wrong:
    reason = getattr(error, "reason", None) or ""
    if reason == "KEY_VALUES_MISMATCH":
        found = f"the key in {tls.key} is not the one of the certificate in {tls.cert}."
        return Wrong("key", found, "Write the pair that was made together.")
    if "TOO_SMALL" in reason or "TOO_WEAK" in reason:
        found = f"OpenSSL refuses the certificate in {tls.cert} as too weak ({reason})."
        return Wrong("cert", found, "Make one with a key of EC P-256 or RSA 2048, and SHA-256.")
    found = f"OpenSSL cannot use {tls.cert} with {tls.key}: {reason or error}."
    return Wrong("cert", found, "Try them with: openssl s_server -cert CERT -key KEY.")


def _trust_clients(context: ssl.SSLContext, path: str, *, required: bool) -> None:
    text = _text(path, "client_ca")
    try:
        first_pem(text)
        context.load_verify_locations(path)
    except (ValueError, ssl.SSLError):
        found = f"found no certificate that can be read in {path}."
        remedy = "Write a PEM file with the authorities that sign clients' certificates."
        raise FilesRefused(Wrong("client_ca", found, remedy)) from None
    context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    # A resumed session would not look at the client's certificate again.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
