"""What the proxy tells of its own certificate: from when until when it is valid, and for whom.

`ssl` loads certificates and does not say what is in them, so the two fields are read here from
their DER (RFC 5280, 4.1). Nothing is verified: OpenSSL does that.

    Certificate ::= SEQUENCE { tbs SEQUENCE { [0] version OPTIONAL, serial, algorithm, issuer,
        validity SEQUENCE { notBefore, notAfter }, subject, publicKey, ..., [3] extensions }, ... }
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

_SEQUENCE, _OID, _OCTETS, _UTC_TIME = 0x30, 0x06, 0x04, 0x17
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_ALTERNATIVE_NAMES = b"\x55\x1d\x11"  # 2.5.29.17
_DNS_NAME = 0x82
_END = "-----END CERTIFICATE-----"


class Certificate(NamedTuple):
    """A certificate. Moments are Unix seconds."""

    not_before: float
    not_after: float
    dns_names: tuple[str, ...]


def first_pem(text: str) -> str:
    """Return the first certificate of a PEM text: the server's own. Raises ValueError."""
    begin = text.find("-----BEGIN CERTIFICATE-----")
    end = text.find(_END, begin)
    if begin < 0 or end < 0:
        raise ValueError("no certificate in PEM")
    return text[begin : end + len(_END)]


def read_certificate(pem: str) -> Certificate:
    """Return what is in a certificate. Raises ValueError for one that cannot be read."""
    try:
        return _read(ssl.PEM_cert_to_DER_cert(pem))
    except (IndexError, StopIteration) as error:
        raise ValueError("the certificate cannot be read") from error


def _read(der: bytes) -> Certificate:
    fields = list(_elements(_inside(_inside(der))))
    if fields[0][0] == _VERSION:
        del fields[0]
    not_before, not_after = (_moment(*time) for time in _elements(fields[3][1]))
    names: tuple[str, ...] = ()
    for tag, content in fields[6:]:
        if tag == _EXTENSIONS:
            names = tuple(_dns_names(_inside(content)))
    return Certificate(not_before, not_after, names)


def _inside(der: bytes) -> bytes:
    """Return what the first element has in it, which must be a SEQUENCE."""
    tag, content = next(_elements(der))
    if tag != _SEQUENCE:
        raise ValueError("the certificate cannot be read")
    return content


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each element. Raises IndexError for a truncated one."""
    at = 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:
            digits = length & 0x7F
            length, at = int.from_bytes(der[at : at + digits], "big"), at + digits
        if at + length > len(der):
            raise IndexError
        yield tag, der[at : at + length]
        at += length


def _moment(tag: int, content: bytes) -> float:
    """Return a UTCTime (two digits of the year: 1950 to 2049) or GeneralizedTime."""
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        text = ("20" if text[:2] < "50" else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _dns_names(extensions: bytes) -> Iterator[str]:
    for _, extension in _elements(extensions):
        parts = list(_elements(extension))
        if parts[0] == (_OID, _ALTERNATIVE_NAMES) and parts[-1][0] == _OCTETS:
            for tag, name in _elements(_inside(parts[-1][1])):
                if tag == _DNS_NAME:
                    yield name.decode("ascii")
