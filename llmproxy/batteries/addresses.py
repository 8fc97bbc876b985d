"""Names and addresses of hosts, and which of them are this machine's own."""

from __future__ import annotations

from ipaddress import ip_address

UNIX = "unix:"  # begins the address of a UNIX socket, before its path
MAX_UNIX_PATH = 107  # sun_path in unix(7), without the NUL
WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - listening on them is listening on every address


def host_name(host: bytes) -> str:
    """Return the name or address in `host[:port]`, in lower case, without brackets."""
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        address, _, port = text[1:].partition("]")
        return text if port and port[0] != ":" else address
    return text.partition(":")[0].removesuffix(".")


def is_loopback(address: str) -> bool:
    """Return whether an address, without a port, is one of this machine's own."""
    try:
        return ip_address(address.removeprefix("::ffff:")).is_loopback
    except ValueError:
        return False


def is_this_machine(name: str) -> bool:
    """Return whether the name or address of a host, as `host_name` returns it, is this machine."""
    return name == "localhost" or is_loopback(name)


def reachable(host: str, name: str | None = None) -> str:
    """Return an address that clients can connect to: for a wildcard `name`, else this machine's."""
    if host not in WILDCARDS:
        return host
    return name or ("127.0.0.1" if host == WILDCARDS[0] else "::1")
