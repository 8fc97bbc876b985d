"""The header with which a load balancer begins a connection, to name the client behind it.

HAProxy's specification, "The PROXY protocol, versions 1 & 2". Version 1 is a line of text, version
2 is binary:

    PROXY TCP4 192.0.2.7 198.51.100.1 51234 443 CRLF            (at most 107 bytes)
    signature (12) | version and command (1) | family (1) | length (2) | addresses, then TLVs

`LOCAL` and `UNKNOWN` mean: the balancer itself has connected, as for a health check.
"""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import NamedTuple

V1, V2 = b"PROXY ", b"\r\n\r\n\x00\r\nQUIT\n"
MAX_V1_BYTES = 107
MAX_V2_BYTES = 4096  # addresses take 52; the rest are TLVs, of which none is read
_HEAD = struct.Struct("!12sBBH")
_LOCAL, _PROXY = 0x20, 0x21
_ADDRESSES = {0x11: (4, "!4s4sHH"), 0x21: (6, "!16s16sHH")}


class Told(NamedTuple):
    """A whole header. `client`: address and port; None: it names no client."""

    length: int
    client: tuple[str, int] | None


class MalformedHeader(Exception):
    """The connection does not begin with a PROXY header."""


def parse(data: bytes) -> Told | None:
    """Return the header that a connection begins with; None if it is not complete.

    Raises MalformedHeader.
    """
    if data[: len(V2)] == V2[: len(data)] and data:
        return _version_2(data)
    if data[: len(V1)] == V1[: len(data)]:
        return _version_1(data)
    raise MalformedHeader("it begins with something else")


def _version_1(data: bytes) -> Told | None:
    line, end, _ = data[:MAX_V1_BYTES].partition(b"\r\n")
    if not end:
        if len(data) >= MAX_V1_BYTES:
            raise MalformedHeader("its line has no end")
        return None
    length = len(line) + 2
    words = line.decode("latin-1").split(" ")
    if words[1] == "UNKNOWN":
        return Told(length, None)
    try:
        _, family, source, target, source_port, target_port = words
        versions = {ip_address(source).version, ip_address(target).version}
        ports = [_port(source_port), _port(target_port)]
    except ValueError as error:
        raise MalformedHeader("its line names no addresses and ports") from error
    if versions != {{"TCP4": 4, "TCP6": 6}.get(family)}:
        raise MalformedHeader("its line names addresses of another family")
    return Told(length, (_plain(source), ports[0]))


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) < 65536):
        raise ValueError
    return int(text)


def _version_2(data: bytes) -> Told | None:
    if len(data) < _HEAD.size:
        return None
    _, command, family, rest = _HEAD.unpack_from(data)
    length = _HEAD.size + rest
    if command not in (_LOCAL, _PROXY) or length > MAX_V2_BYTES:
        raise MalformedHeader("its version, command or length is unknown")
    if len(data) < length:
        return None
    known = _ADDRESSES.get(family)
    if command == _LOCAL or known is None:  # UDP and UNIX sockets, which name nobody for us
        return Told(length, None)
    layout = struct.Struct(known[1])
    if rest < layout.size:
        raise MalformedHeader("its addresses are not complete")
    source, _, port, _ = layout.unpack_from(data, _HEAD.size)
    return Told(length, (_plain(str(ip_address(source))), port))


def _plain(address: str) -> str:
    parsed = ip_address(address)
    mapped = getattr(parsed, "ipv4_mapped", None)
    return str(mapped or parsed)
