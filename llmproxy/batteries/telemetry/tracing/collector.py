"""Posts to a collector (OTLP over HTTP) through one connection, which is kept. Blocks.

A connection that the collector has closed meanwhile is opened again once, at once.
"""

from __future__ import annotations

import base64
import ssl
import zlib
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from time import time
from typing import NamedTuple
from urllib.parse import SplitResult, unquote

from llmproxy.batteries.telemetry.tracing.environment import ExportTarget

STEP_S = 5.0  # the longest wait for each step of a request: to connect, to send, to be answered
MAX_ANSWER_BYTES = 64 * 1024
COMPRESSION_LEVEL = 1  # two fifths of the work of level 6, for 8 % more bytes
# What OTLP's specification calls retryable; everything else would be refused again.
_RETRYABLE = (429, 502, 503, 504)


class CollectorAnswer(NamedTuple):
    """A collector's answer. `why`: for the log. `retry_after_s`: None = it did not say."""

    accepted: bool
    why: str
    may_be_repeated: bool = True
    retry_after_s: float | None = None


class Collector:
    """One collector, and the connection to it. For one thread."""

    def __init__(self, target: ExportTarget) -> None:
        self._target = target
        self._connection: HTTPConnection | None = None
        self._headers = dict(target.headers)
        if target.compression != "none":
            self._headers["content-encoding"] = target.compression.encode()

    def post(self, body: bytes) -> CollectorAnswer:
        """Post a request, and return what became of it."""
        if self._target.compression != "none":
            wbits = 31 if self._target.compression == "gzip" else 15
            body = zlib.compress(body, COMPRESSION_LEVEL, wbits=wbits)
        try:
            return self._posted(body)
        except (OSError, HTTPException) as error:
            self.close()
            return CollectorAnswer(False, str(error) or type(error).__name__)

    def close(self) -> None:
        """Close the connection. The next request opens another one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _posted(self, body: bytes) -> CollectorAnswer:
        if self._connection is not None:
            try:
                return self._ask(self._connection, body)
            except TimeoutError:
                raise
            except (OSError, HTTPException):
                self.close()
        connection = self._connection = self._new_connection()
        return self._ask(connection, body)

    def _ask(self, connection: HTTPConnection, body: bytes) -> CollectorAnswer:
        connection.request("POST", self._target.url.path, body, self._headers)
        response = connection.getresponse()
        response.read(MAX_ANSWER_BYTES)
        if response.will_close or not response.isclosed():
            self.close()
        status = response.status
        return CollectorAnswer(
            200 <= status < 300,
            f"it answers {status} {response.reason[:100]}".rstrip(),
            status in _RETRYABLE,
            _retry_after_s(response),
        )

    def _new_connection(self) -> HTTPConnection:
        url, proxy = self._target.url, self._target.proxy
        host, port = url.hostname or "", url.port
        if url.scheme == "http":
            return HTTPConnection(host, port or 80, timeout=STEP_S)
        context = self._context()
        if proxy is None:
            return HTTPSConnection(host, port or 443, timeout=STEP_S, context=context)
        way = _address_of(proxy)
        connection = HTTPSConnection(*way, timeout=STEP_S, context=context)
        connection.set_tunnel(host, port or 443, _credentials(proxy))
        return connection

    def _context(self) -> ssl.SSLContext:
        """Read the files, anew for each connection: certificates are renewed."""
        target = self._target
        authorities = target.certificate
        try:
            if authorities is None:
                context = ssl.create_default_context()
            elif Path(authorities).is_dir():
                context = ssl.create_default_context(capath=authorities)
            else:
                context = ssl.create_default_context(cafile=authorities)
            if target.client_certificate is not None:
                context.load_cert_chain(target.client_certificate, target.client_key)
        except OSError as error:
            names = "OTEL_EXPORTER_OTLP_CERTIFICATE, _CLIENT_CERTIFICATE or _CLIENT_KEY"
            raise OSError(f"{names} cannot be read ({error})") from error
        return context


def _address_of(proxy: SplitResult) -> tuple[str, int]:
    """Return a proxy's host and port. Raises OSError, which shows no credentials."""
    try:
        host, port = proxy.hostname, proxy.port or 8080
    except ValueError:
        host = None
    if not host or proxy.scheme != "http":
        raise OSError("https_proxy is not of the form http://host:port")
    return host, port


def _credentials(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _retry_after_s(response: HTTPResponse) -> float | None:
    """Return the wait that an answer asks for: seconds, or a date (RFC 9110, 10.2.3)."""
    asked = response.headers.get("retry-after", "").strip()
    if asked.isdecimal():
        return float(asked)
    try:
        return max(0.0, parsedate_to_datetime(asked).timestamp() - time())
    except (ValueError, OverflowError):
        return None
