"""Whom a request is from, by what proxies in front have written into its header.

Each proxy adds, at the right, the address that it got the request from. What is left of what a
trusted proxy wrote may be invented. So the list is read from the right: the first address that is
no trusted proxy is the client (decision 071). `forwarded` is RFC 7239.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from llmproxy.batteries.front.networks import Networks, parsed_address
from llmproxy.calls import Headers

# One pair of an element, and the `;` behind it; a mark between or around elements.
_PAIR = re.compile(r'\s*([^\s"=;,]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;",\s]*)\s*(?:;|$)')
_MARK = re.compile(r'(?P<slashes>\\*)"|,')
_IPV6 = re.compile(r"\[([^\]]*)\](?::[0-9]{1,5})?")
_IPV4 = re.compile(r"([0-9.]+)(?::[0-9]{1,5})?")

# More proxies than there are between any client and us, each with a long name.
MAX_HOPS = 32
MAX_CHARS = 8_192


class ForwardedClients:
    """Reads one header, which only requests of trusted proxies have for us."""

    def __init__(self, trusted: Networks, header: str) -> None:
        self.trusted = trusted
        self._header = header.encode()
        is_forwarded = header == "forwarded"
        self._split = _quoted_from_the_right if is_forwarded else _from_the_right
        self._node = _forwarded_for if is_forwarded else str.strip

    def client_of(self, headers: Headers, peer: str) -> str:
        """Return the address of the client of a request that `peer` has sent."""
        if not self.trusted.has(peer):
            return peer
        values = [value for name, value in headers if name == self._header]
        client = peer
        written = b",".join(values).decode("latin-1")[-MAX_CHARS:]
        for element in islice(self._split(written), MAX_HOPS):
            address = _address(self._node(element))
            if address is None or not is_believable(address, of=client):
                return client  # what a trusted proxy could not name, nobody names
            client = address
            if not self.trusted.has(client):
                return client
        return client


def is_believable(address: str, *, of: str) -> bool:
    """Return whether a proxy at one address may say that its client has another one. A loopback
    address is this machine's only if a program on this machine says so."""
    parsed, by = parsed_address(address), parsed_address(of)
    if parsed is None or not parsed.is_loopback:
        return parsed is not None
    return by is None or by.is_loopback  # a UNIX socket is on this machine, too


def _from_the_right(text: str) -> Iterator[str]:
    """Yield the elements of a list."""
    while text:
        text, _, element = text.rpartition(",")
        yield element


def _quoted_from_the_right(text: str) -> Iterator[str]:
    """Yield the elements of a list in which a comma may be quoted.

    What a trusted proxy wrote, at the right, has its quotes in pairs; so they are told apart from
    the right, whatever a client wrote before it.
    """
    end, is_quoted = len(text), False
    for mark in reversed(list(_MARK.finditer(text))):
        if mark["slashes"] is not None:
            is_quoted ^= len(mark["slashes"]) % 2 == 0  # else the quote belongs to the text
        elif not is_quoted:
            yield text[mark.end() : end]
            end = mark.start()
    yield text[:end]


def _forwarded_for(element: str) -> str:
    """Return the node of the only `for=` of an element; empty if it has none or several, or is none
    of RFC 7239."""
    nodes, at = [], 0
    while at < len(element):
        pair = _PAIR.match(element, at)
        if pair is None:
            return ""
        if pair[1].lower() == "for":
            nodes.append(pair[2].strip('"'))
        at = pair.end()
    return nodes[0] if len(nodes) == 1 else ""


def _address(node: str) -> str | None:
    """Return the address of a node, with or without a port; None of `unknown`, `_hidden` and
    whatever else is no address."""
    for pattern in (_IPV6, _IPV4):
        if match := pattern.fullmatch(node):
            node = match[1]
            break
    parsed = parsed_address(node)
    return None if parsed is None else str(parsed)
