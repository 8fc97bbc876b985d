"""Opening a connection: look up the name, try each address, tunnel through a proxy, begin TLS.

TLS always verifies the certificate against the system's trust store and the host's name.
`HTTPS_PROXY` and `NO_PROXY` are honoured for https origins, by CONNECT (RFC 9110, 9.3.6).
"""

from __future__ import annotations

import asyncio
import base64
import errno
import logging
import socket
import ssl
from collections.abc import Callable, Mapping
from time import monotonic
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from llmproxy.errors import ConnectFailed, OutOfResources
from llmproxy.upstream.connection import UpstreamConnection
from llmproxy.upstream.resolver import Resolver

TCP_KEEPALIVE_S = 60
MAX_PROXY_HEAD_BYTES = 16 * 1024


class OriginAddress:
    """The address of an origin, and the proxy to reach it through (None = directly)."""

    __slots__ = ("host", "port", "proxy", "tls")

    def __init__(self, scheme: str, host: str, port: int, proxy: SplitResult | None) -> None:
        self.tls = scheme == "https"
        self.host = host
        self.port = port
        self.proxy = proxy

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def proxy_for(scheme: str, host: str, environ: Mapping[str, str]) -> SplitResult | None:
    """Return the proxy that the environment sets for an origin; None = none.

    `https_proxy` and `no_proxy` are read in lower case first, then in upper case.
    """
    url = environ.get("https_proxy") or environ.get("HTTPS_PROXY")
    if scheme != "https" or not url:
        return None
    exempt = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if proxy_bypass_environment(host, {"no": exempt}):
        return None
    return urlsplit(url if "//" in url else f"http://{url}")


# This machine's own trouble; no endpoint has failed.
OUR_ERRNOS = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL)
)
COMPLAIN_EVERY_S = 10.0

logger = logging.getLogger("llmproxy")


class Dialer:
    """Opens connections. Owns the TLS context, which takes 7 ms to make."""

    def __init__(self, resolver: Resolver, *, timeout_s: float, tls: ssl.SSLContext | None) -> None:
        self._resolver = resolver
        self._timeout_s = timeout_s
        self._tls = tls
        self._complain_at = 0.0  # not again before this moment

    async def dial(
        self, address: OriginAddress, protocol: Callable[[], UpstreamConnection]
    ) -> UpstreamConnection:
        """Return a connected protocol. Raises ConnectFailed on any error."""
        try:
            async with asyncio.timeout(self._timeout_s):
                if address.proxy is not None:
                    return await self._through_proxy(address, address.proxy, protocol)
                return await self._direct(address, protocol)
        except TimeoutError:
            raise ConnectFailed(f"no connection to {address} in {self._timeout_s:g} s") from None
        except ssl.SSLCertVerificationError as error:
            why = f"its certificate is not trusted: {error.verify_message}"
            raise ConnectFailed(f"no TLS with {address}: {why}") from error
        except ssl.SSLError as error:
            raise ConnectFailed(f"no TLS with {address}: {error.reason or error}") from error
        except OSError as error:
            if error.errno in OUR_ERRNOS:
                raise self._out_of_resources(error) from error
            raise ConnectFailed(f"cannot connect to {address}: {_os_complaint(error)}") from error

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
        self, address: OriginAddress, protocol: Callable[[], UpstreamConnection]
    ) -> UpstreamConnection:
        loop = asyncio.get_running_loop()
        last: OSError | None = None
        for ip in await self._resolver.addresses(address.host, address.port):
            try:
                transport, connection = await loop.create_connection(
                    protocol,
                    ip,
                    address.port,
                    ssl=self._tls_context() if address.tls else None,
                    server_hostname=address.host if address.tls else None,
                )
            except ssl.SSLError:
                raise
            except OSError as error:
                last = error
                continue
            _keep_alive(transport)
            return connection
        raise last or OSError("no address")

    async def _through_proxy(
        self, address: OriginAddress, proxy: SplitResult, protocol: Callable[[], UpstreamConnection]
    ) -> UpstreamConnection:
        loop = asyncio.get_running_loop()
        transport, handshake = await loop.create_connection(
            _Handshake,
            proxy.hostname or "",
            proxy.port or (443 if proxy.scheme == "https" else 8080),
            ssl=self._tls_context() if proxy.scheme == "https" else None,
        )
        try:
            transport.write(_connect_request(address, proxy))
            status_line = await handshake.status_line
            if status_line.split(b" ")[1:2] != [b"200"]:
                answer = status_line.decode("latin-1").strip()
                raise OSError(f"the proxy {proxy.hostname} answered '{answer}'")
            connection = protocol()
            secured = await loop.start_tls(
                transport, connection, self._tls_context(), server_hostname=address.host
            )
        except BaseException:
            transport.abort()
            raise
        if secured is None:
            raise OSError(f"the proxy {proxy.hostname} closed the tunnel")
        connection.connection_made(secured)
        return connection

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


def _connect_request(address: OriginAddress, proxy: SplitResult) -> bytes:
    host = f"[{address.host}]" if ":" in address.host else address.host
    lines = [f"CONNECT {host}:{address.port} HTTP/1.1", f"Host: {host}:{address.port}"]
    if proxy.username is not None:
        pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        token = base64.b64encode(pair.encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {token}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


class _Handshake(asyncio.Protocol):
    """Waits for a proxy's answer to CONNECT. No bytes may follow it: in TLS the client begins."""

    def __init__(self) -> None:
        self.status_line: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._head = b""

    def data_received(self, data: bytes) -> None:
        """Collect part of the answer."""
        self._head += data
        if self.status_line.done():
            return
        if b"\r\n\r\n" in self._head:
            self.status_line.set_result(self._head.split(b"\r\n", 1)[0])
        elif len(self._head) > MAX_PROXY_HEAD_BYTES:
            self.status_line.set_exception(OSError("the head of the proxy's answer is too large"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail if the proxy closes the connection before its answer."""
        if not self.status_line.done():
            why = OSError("the proxy did not answer the CONNECT")
            why.__cause__ = exc
            self.status_line.set_exception(why)


def _keep_alive(transport: asyncio.BaseTransport) -> None:
    sock = transport.get_extra_info("socket")
    if sock is None:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, TCP_KEEPALIVE_S)


def _os_complaint(error: OSError) -> str:
    return (error.strerror or str(error) or type(error).__name__).lower()
