"""Sending one request to the origin of an endpoint, over a kept connection or a new one.

A kept connection may be lost just as it is reused. If it was lost at once, or before the body was
written, that is not the endpoint's failure: the request is sent once more over a new connection,
and the caller does not notice. The origin's other kept connections are dropped, because they are
about to be lost, too. If it was lost later, the endpoint may have worked on the request, and the
attempt has failed.
"""

from __future__ import annotations

import resource
import ssl
from collections.abc import Callable
from functools import partial
from sys import maxsize

from llmproxy.calls import Outgoing
from llmproxy.config import Timeouts
from llmproxy.protocols import ConnectionT, Resolver, TlsSessions, Tunnels
from llmproxy.providers.base import Endpoint
from llmproxy.upstream.connection import StaleConnection
from llmproxy.upstream.dialer import Dialer, OriginAddress
from llmproxy.upstream.origin import Dial, Origin
from llmproxy.upstream.response import Response


def connections_allowed() -> int:
    """Return how many connections to one origin this process may have: half of its open files.

    The other half is for the clients'. A call beyond waits for a connection (`timeouts.pool_s`).
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return maxsize if files == resource.RLIM_INFINITY else max(1, files // 2)


class UpstreamClient:
    """Owns the origins and their connections. Create it in a running loop; `close()` it."""

    def __init__(
        self,
        timeouts: Timeouts,
        *,
        tunnels: Tunnels | None = None,
        resolver: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
        sessions: TlsSessions | None = None,
        max_connections: int | None = None,
    ) -> None:
        self._tunnels = tunnels
        self._timeouts = timeouts
        self._max_connections = max_connections or connections_allowed()
        self._resolver = resolver
        self._dialer = Dialer(resolver, timeout_s=timeouts.connect_s, tls=tls, sessions=sessions)
        self._origins: dict[tuple[str, str, int], Origin] = {}

    async def send(
        self,
        endpoint: Endpoint,
        outgoing: Outgoing,
        *,
        until: float,
        renewed: Callable[[], float] | None = None,
    ) -> Response:
        """Send a request and wait for the head of its response until the moment `until`.

        `renewed`: called after a sign of life (1xx), returns a later moment.
        Raises an UpstreamError (ConnectFailed, TimedOut, UpstreamFailed) that does not name the
        endpoint, or the ClientError of a client that stopped uploading.
        """
        origin = self._origin_of(endpoint)
        must_be_fresh = outgoing.fresh or not isinstance(outgoing.body, bytes)
        for fresh in (must_be_fresh, True):
            # Nearly every call finds a kept connection, without a coroutine for `acquire`.
            connection = None if fresh else origin.take_idle()
            if connection is None:
                connection = await origin.acquire(fresh=fresh)
            try:
                return await connection.exchange(outgoing, until=until, renewed=renewed)
            except StaleConnection:
                origin.drop_idle()
        raise AssertionError("a fresh connection is never stale")

    async def dial(self, endpoint: Endpoint, protocol: Callable[[], ConnectionT]) -> ConnectionT:
        """Return a protocol of the caller's, connected to an endpoint. Raises ConnectFailed."""
        return await self._dialer.dial(self._address_of(endpoint), protocol)

    @property
    def origins(self) -> list[Origin]:
        """Those that were asked for so far."""
        return list(self._origins.values())

    @property
    def open_connections(self) -> int:
        """The number of connections to all origins, idle ones included."""
        return sum(origin.open_connections for origin in self.origins)

    def close(self) -> None:
        """Close every connection."""
        for origin in self.origins:
            origin.close()
        if self._resolver is not None:
            self._resolver.close()

    def _origin_of(self, endpoint: Endpoint) -> Origin:
        key = (endpoint.scheme, endpoint.host, endpoint.port)
        origin = self._origins.get(key)
        if origin is None:
            dial: Dial = partial(self._dialer.dial, self._address_of(endpoint))
            origin = self._origins[key] = Origin(
                dial,
                max_open=self._max_connections,
                wait_s=self._timeouts.pool_s,
                idle_s=self._timeouts.upstream_idle_s,
            )
        return origin

    def _address_of(self, endpoint: Endpoint) -> OriginAddress:
        key = (endpoint.scheme, endpoint.host, endpoint.port)
        return OriginAddress(*key, None if self._tunnels is None else self._tunnels.to(*key))
