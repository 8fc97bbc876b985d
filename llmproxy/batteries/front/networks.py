"""Addresses that are trusted to name others."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

UNIX_PEER = "uid:"  # begins the address of a client of a UNIX socket
MAX_ADDRESSES = 4096  # that are remembered; clients choose them


class Networks:
    """A list of addresses, networks and `unix`, as a config writes them."""

    def __init__(self, written: Iterable[str]) -> None:
        self.listed = tuple(written)
        self._unix = "unix" in self.listed
        self._networks: list[IPv4Network | IPv6Network] = [
            ip_network(network) for network in self.listed if network != "unix"
        ]
        self.has = lru_cache(maxsize=MAX_ADDRESSES)(self._has)

    def _has(self, address: str) -> bool:
        """Return whether an address is in the list."""
        if address.startswith(UNIX_PEER):
            return self._unix
        parsed = parsed_address(address)
        return parsed is not None and any(parsed in network for network in self._networks)


def parsed_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address, an IPv4 one also if it is written as IPv6; None if it is none."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        if found.scope_id is not None:
            return None  # means nothing on another machine
        return found.ipv4_mapped or found
    return found
