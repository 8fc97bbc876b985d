"""Tunnels: https endpoints are reached through the proxy that `HTTPS_PROXY` names.

The only module of this package that others import. Without it, the core refuses to start where that
variable is set.
"""

from __future__ import annotations

from collections.abc import Mapping

from llmproxy.batteries.tunnel.connect import ConnectTunnel, proxy_for

__all__ = ["ProxyTunnels", "proxy_for"]


class ProxyTunnels:
    """Finds the tunnel to an origin. Implements `Tunnels`."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def to(self, scheme: str, host: str, port: int) -> ConnectTunnel | None:
        """Return the tunnel to an origin; None = it is reached directly."""
        proxy = proxy_for(scheme, host, self._environ)
        return None if proxy is None else ConnectTunnel(proxy, host, port)
