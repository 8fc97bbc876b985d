"""A tunnel through a proxy, by CONNECT (RFC 9110, 9.3.6)."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from llmproxy.rules.authority import authority

MAX_PROXY_HEAD_BYTES = 16 * 1024

ConnectionT = TypeVar("ConnectionT", bound=asyncio.BaseProtocol)


def proxy_for(scheme: str, host: str, environ: Mapping[str, str]) -> SplitResult | None:
    """Return the proxy that the environment sets for an origin; None = none.

    `https_proxy` and `no_proxy` are read in lower case first, then in upper case.
    """
    url = environ.get("https_proxy") or environ.get("HTTPS_PROXY")
    if scheme != "https" or not url:
        return None
    from urllib.request import (  # type: ignore[attr-defined]  # noqa: PLC0415 - slow
        proxy_bypass_environment,
    )

    exempt = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if proxy_bypass_environment(host, {"no": exempt}):
        return None
    try:
        return urlsplit(url if "//" in url else f"http://{url}")
    except ValueError:  # brackets that are not those of an IPv6 address
        return urlsplit("http://")  # whose tunnel says what is wrong


class ConnectTunnel:
    """The way to one origin through a proxy. Implements `Tunnel`."""

    __slots__ = ("_host", "_port", "_proxy")

    def __init__(self, proxy: SplitResult, host: str, port: int) -> None:
        self._proxy = proxy
        self._host = host
        self._port = port

    def __str__(self) -> str:
        """Where the proxy is."""
        try:
            return authority(self._proxy.hostname or "", self._proxy.port)
        except ValueError:
            return self._proxy.hostname or ""

    async def dial(self, protocol: Callable[[], ConnectionT], tls: ssl.SSLContext) -> ConnectionT:
        """Return a protocol that is connected to the origin by TLS. Raises OSError."""
        loop = asyncio.get_running_loop()
        transport, handshake = await self._connected(tls)
        try:
            transport.write(self._request())
            status_line = await handshake.status_line
            if status_line.split(b" ")[1:2] != [b"200"]:
                answer = status_line.decode("latin-1").strip()
                raise OSError(f"the proxy {self} answered '{answer}'")
            connection = protocol()
            secured = await loop.start_tls(transport, connection, tls, server_hostname=self._host)
        except BaseException:
            transport.abort()
            raise
        if secured is None:
            raise OSError(f"the proxy {self} closed the tunnel")
        connection.connection_made(secured)
        return connection

    async def _connected(self, tls: ssl.SSLContext) -> tuple[asyncio.Transport, _Handshake]:
        """Connect to the proxy. Raises OSError, which names it."""
        proxy = self._proxy
        is_https = proxy.scheme == "https"
        try:
            host, port = proxy.hostname, proxy.port or (443 if is_https else 8080)
        except ValueError:
            host = None
        if not host:
            raise OSError("https_proxy names no host and port: write http://host:port")
        try:
            return await asyncio.get_running_loop().create_connection(
                _Handshake, host, port, ssl=tls if is_https else None
            )
        except ssl.SSLError:
            raise
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise OSError(error.errno, f"the proxy {self}: {why}") from error

    def _request(self) -> bytes:
        origin = authority(self._host, self._port)
        lines = [f"CONNECT {origin} HTTP/1.1", f"Host: {origin}"]
        if self._proxy.username is not None:
            pair = f"{unquote(self._proxy.username)}:{unquote(self._proxy.password or '')}"
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
