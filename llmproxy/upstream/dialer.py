"""Opening a connection: look up the name, try each address or go through a tunnel, begin TLS.

TLS always verifies the certificate against the system's trust store and the host's name.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import ssl
from collections.abc import Callable
from time import monotonic

from llmproxy.errors import ConnectFailed, GatewayError, OutOfResources
from llmproxy.protocols import ConnectionT, Resolver, TlsSessions, Tunnel
from llmproxy.rules.authority import authority


class OriginAddress:
    """The address of an origin, and the tunnel to reach it through (None = directly)."""

    __slots__ = ("host", "port", "tls", "tunnel")

    def __init__(self, scheme: str, host: str, port: int, tunnel: Tunnel | None) -> None:
        self.tls = scheme == "https"
        self.host = host
        self.port = port
        self.tunnel = tunnel

    def __str__(self) -> str:
        return authority(self.host, self.port)


# This machine's own trouble; no endpoint has failed.
OUR_ERRNOS = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL)
)
COMPLAIN_EVERY_S = 10.0

logger = logging.getLogger("llmproxy")


class Dialer:
    """Opens connections. Owns the TLS context, which takes 7 ms to make."""

    def __init__(
        self,
        resolver: Resolver | None,
        *,
        timeout_s: float,
        tls: ssl.SSLContext | None,
        sessions: TlsSessions | None,
    ) -> None:
        self._resolver = resolver
        self._timeout_s = timeout_s
        self._sessions = sessions
        self._tls = tls if tls is None or sessions is None else sessions.resuming(tls)
        self._complain_at = 0.0  # not again before this moment

    async def dial(
        self, address: OriginAddress, protocol: Callable[[], ConnectionT]
    ) -> ConnectionT:
        """Return a connected protocol. Raises ConnectFailed on any error."""
        try:
            async with asyncio.timeout(self._timeout_s):
                if address.tunnel is not None:
                    return await address.tunnel.dial(protocol, self._tls_context())
                return await self._direct(address, protocol)
        except OSError as error:
            if self._sessions is not None:
                self._sessions.forget()
            raise self._failure(address, error) from error

    def _failure(self, address: OriginAddress, error: OSError) -> GatewayError:
        if isinstance(error, TimeoutError):
            return ConnectFailed(f"no connection to {address} in {self._timeout_s:g} s")
        if isinstance(error, ssl.SSLCertVerificationError):
            why = f"its certificate is not trusted: {error.verify_message}"
            return ConnectFailed(f"no TLS with {address}: {why}")
        if isinstance(error, ssl.SSLError):
            return ConnectFailed(f"no TLS with {address}: {error.reason or error}")
        if error.errno in OUR_ERRNOS:
            return self._out_of_resources(error)
        return ConnectFailed(f"cannot connect to {address}: {_os_complaint(error)}")

    def _out_of_resources(self, error: OSError) -> OutOfResources:
        """Return the failure of this machine, and log it now and then."""
        why, now = _os_complaint(error), monotonic()
        if now >= self._complain_at:
            self._complain_at = now + COMPLAIN_EVERY_S
            logger.error(
                "No connection can be opened: %s. Raise the limit of this process (ulimit -n, "
                "LimitNOFILE), or lower general_settings.max_in_flight.",
                why,
            )
        return OutOfResources(f"The proxy cannot open a connection: {why}.", retry_after_s=1.0)

    async def _direct(
        self, address: OriginAddress, protocol: Callable[[], ConnectionT]
    ) -> ConnectionT:
        loop = asyncio.get_running_loop()
        last: OSError | None = None
        hosts = [address.host]  # the loop looks it up
        if self._resolver is not None:
            hosts = await self._resolver.addresses(address.host, address.port)
        for host in hosts:
            try:
                _, connection = await loop.create_connection(
                    protocol,
                    host,
                    address.port,
                    ssl=self._tls_context() if address.tls else None,
                    server_hostname=address.host if address.tls else None,
                )
                return connection
            except ssl.SSLError:
                raise
            except OSError as error:
                last = error
        raise last or OSError("no address")

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            tls = ssl.create_default_context()
            tls.set_alpn_protocols(["http/1.1"])
            self._tls = tls if self._sessions is None else self._sessions.resuming(tls)
        return self._tls


def _os_complaint(error: OSError) -> str:
    return (error.strerror or str(error) or type(error).__name__).lower()
