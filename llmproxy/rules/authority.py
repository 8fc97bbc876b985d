"""Hosts and ports as URLs and messages write them (RFC 3986, 3.2)."""


def authority(host: str, port: int | None = None) -> str:
    """Return `host:port`, or the host alone; an IPv6 address in brackets."""
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"
