"""Name, connection and TLS of an endpoint: by the dialer and the tunnels that calls use."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from time import time

from llmproxy.composition import installed
from llmproxy.errors import ConnectFailed, GatewayError
from llmproxy.providers.base import Endpoint
from llmproxy.rules.authority import authority
from llmproxy.tools.doctor.findings import DoctorFinding, found
from llmproxy.upstream import UpstreamClient

EXPIRED, NOT_YET_VALID = 10, 9
WRONG_NAME, WRONG_ADDRESS = 62, 64
SOON_DAYS = 14
TCP_S = 2.0
DAY_S = 86400


class _Connected(asyncio.Protocol):
    """Holds a connection open, to look at it."""

    transport: asyncio.BaseTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember it."""
        self.transport = transport


async def reach(
    client: UpstreamClient, endpoint: Endpoint, subject: str, proxy: str | None, *, timeout_s: float
) -> tuple[list[DoctorFinding], bool]:
    """Connect to an endpoint, through a proxy if there is one; return what is wrong, and whether
    calls can be sent."""
    try:
        async with asyncio.timeout(timeout_s):
            connected = await client.dial(endpoint, _Connected)
    except ConnectFailed as failure:
        finding = connect_finding(failure, endpoint, subject, proxy)
        if finding.code == "port_silent" and await _takes_connections(endpoint):
            why = "it takes the connection, and does not answer the handshake"
            finding = found("tls_failed", subject, why=why)
        return [finding], False
    except TimeoutError:
        return [found("port_silent", subject, address=address_of(endpoint))], False
    except GatewayError as failure:
        return [found("not_connected", subject, why=_brief(failure))], False
    try:
        certificate = connected.transport.get_extra_info("peercert")
    finally:
        connected.transport.close()
    return list(_validity(certificate, subject)), True


async def _takes_connections(endpoint: Endpoint) -> bool:
    """Return whether an https endpoint that is silent is there, but speaks no TLS."""
    if endpoint.scheme != "https":
        return False
    try:
        async with asyncio.timeout(TCP_S):
            _, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def address_of(endpoint: Endpoint) -> str:
    """Return where an endpoint is, as messages write it."""
    return authority(endpoint.host, endpoint.port)


def proxy_to(endpoint: Endpoint, environ: Mapping[str, str]) -> str | None:
    """Return the address of the proxy through which an endpoint is reached; None = directly."""
    make = installed().tunnels
    way = None if make is None else make(environ).to(endpoint.scheme, endpoint.host, endpoint.port)
    return None if way is None else str(way)


def connect_finding(
    failure: ConnectFailed, endpoint: Endpoint, subject: str, proxy: str | None
) -> DoctorFinding:
    """Return why a connection failed, by the error beneath. Pure."""
    address, cause = address_of(endpoint), _root(failure)
    if proxy is not None and not isinstance(cause, ssl.SSLError):
        return found("proxy_unusable", subject, proxy=proxy, why=_brief(failure))
    match cause:
        case ssl.SSLCertVerificationError():
            return _of_certificate(cause, endpoint.host, subject)
        case ConnectionResetError() if endpoint.scheme == "https":
            why = "it ends the connection in the middle of the handshake"
            return found("tls_failed", subject, why=why)
        case ssl.SSLError():
            return found("tls_failed", subject, why=cause.reason or str(cause))
        case socket.gaierror():
            return found(
                "name_not_found", subject, host=endpoint.host, why=cause.strerror or str(cause)
            )
        case ConnectionRefusedError():
            return found("port_refused", subject, address=address)
        case TimeoutError():
            return found("port_silent", subject, address=address)
    words = failure.message
    if "cannot resolve" in words:
        return found("name_not_found", subject, host=endpoint.host, why="the resolver is silent")
    if words.startswith("no connection to"):
        return found("port_silent", subject, address=address)
    if "TLS" in words:
        return found("tls_failed", subject, why=_brief(failure))
    return found("not_connected", subject, why=_brief(failure))


def _of_certificate(error: ssl.SSLCertVerificationError, host: str, subject: str) -> DoctorFinding:
    why = error.verify_message
    if error.verify_code in (EXPIRED, NOT_YET_VALID):
        return found("certificate_expired", subject, why=why)
    if error.verify_code in (WRONG_NAME, WRONG_ADDRESS):
        return found("certificate_of_another_name", subject, host=host)
    return found("certificate_untrusted", subject, why=why)


def _validity(certificate: object, subject: str) -> list[DoctorFinding]:
    ends = certificate.get("notAfter") if isinstance(certificate, dict) else None
    if ends is None:
        return []
    ends_at = ssl.cert_time_to_seconds(ends)
    days = (ends_at - time()) / DAY_S
    if days >= SOON_DAYS:
        return []
    date = datetime.fromtimestamp(ends_at, UTC).date()
    return [found("certificate_ends_soon", subject, date=date, days=days)]


def _root(error: BaseException) -> BaseException:
    """Return the error beneath: of the socket, of TLS, or of the resolver."""
    while (beneath := error.__cause__) is not None:
        error = beneath
    return error


def _brief(failure: GatewayError) -> str:
    return failure.message.rstrip(".")
