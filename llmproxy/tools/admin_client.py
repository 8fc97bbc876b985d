"""A client of the admin API for the commands: finds the proxy's address and key, sends requests.

Every error is one sentence with its remedy.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPRedirectHandler,
    ProxyHandler,
    Request,
    build_opener,
)

from llmproxy.batteries.addresses import UNIX, reachable
from llmproxy.rules.authority import authority
from llmproxy.tools.connecting import CannotTrustError, disagreement, handlers

if TYPE_CHECKING:
    from llmproxy.config import Config

KEY_VARIABLE = "LLMPROXY_ADMIN_KEY"
DEFAULT_URL = "http://127.0.0.1:4000"
UNAUTHORIZED = 401
_TRANSIENT = frozenset({500, 502, 503, 504})  # from a reverse proxy, while this one restarts


class AdminApiError(Exception):
    """The admin API did not answer, or answered with an error; the text says what to do.

    `brief`: the reason alone. `reached`: something answered, so a retry would not help.
    """

    def __init__(self, message: str, *, brief: str | None = None, reached: bool = False) -> None:
        super().__init__(message)
        self.brief = message if brief is None else brief
        self.reached = reached


@dataclass(frozen=True)
class ProxyAddress:
    """The URL of a proxy, without a slash at the end, and its admin_key. `unix:PATH`: by a
    socket. `certificate`: the file of the proxy's own, which is trusted at the config's address."""

    url: str
    key: str | None = field(repr=False)
    certificate: str | None = None


def find_address(
    url: str | None, file: Path | None, environ: Mapping[str, str] = os.environ
) -> ProxyAddress:
    """Return the address from the options, the environment or the config, in this order.

    Raises ConfigError; and AdminApiError for an invalid URL, or a key that no header can carry.
    """
    config = None
    if file is not None or url is None or KEY_VARIABLE not in environ:
        config = _config(file, environ)
    certificate = None if url is not None or config is None else _certificate(config)
    found = ProxyAddress((url or url_of(config)).rstrip("/"), _key(config, environ), certificate)
    if not _is_url(found.url):
        raise AdminApiError(
            f"Expected --url http://host:port, found {url!r}; an IPv6 address has "
            "brackets, http://[::1]:4000; a UNIX socket is unix:/path.",
            reached=True,
        )
    if found.key is not None and not (found.key.isascii() and found.key.isprintable()):
        # http.client would raise an error that shows the key.
        raise AdminApiError(
            f"The admin_key (from {KEY_VARIABLE} or the config) contains a character that headers "
            "cannot carry, such as a line break. Remove it.",
            reached=True,
        )
    return found


def _is_url(text: str) -> bool:
    if text.startswith(f"{UNIX}/"):
        return True
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not match, or a port that is none
        return False


def ask(
    address: ProxyAddress, path: str, *, timeout_s: float, method: str = "GET", body: object = None
) -> Any:
    """Send a request, with JSON if there is a body, and return the JSON of the response; None if
    it has none. Raises AdminApiError."""
    try:
        with open_response(address, path, timeout_s=timeout_s, method=method, body=body) as answer:
            return json.loads(answer.read() or b"null")
    except (OSError, ValueError, HTTPException) as error:
        raise _unreachable(_shown(address, path), error) from error


def open_response(
    address: ProxyAddress, path: str, *, timeout_s: float, method: str = "GET", body: object = None
) -> HTTPResponse:
    """Send a request, and return the open response; the caller closes it. Raises AdminApiError.

    `timeout_s` also bounds each later read.
    """
    url = f"http://localhost{path}" if address.url.startswith(UNIX) else address.url + path
    content = None if body is None else json.dumps(body).encode()
    request = Request(url, content, method=method)  # noqa: S310 - find_address checks the scheme
    if content is not None:
        request.add_header("content-type", "application/json")
    if address.key is not None:
        request.add_header("authorization", f"Bearer {address.key}")
    try:
        # No forward proxy: HTTP_PROXY is for vendors.
        opener = build_opener(
            ProxyHandler({}), _NoRedirect, *handlers(address.url, address.certificate, os.environ)
        )
        answer: HTTPResponse = opener.open(request, timeout=timeout_s)
    except HTTPError as error:
        with error:
            message = _refusal(address.url, _shown(address, path), error)
        brief = f"It answered {error.code}."
        raise AdminApiError(message, brief=brief, reached=error.code not in _TRANSIENT) from error
    except CannotTrustError as error:
        raise AdminApiError(str(error)) from error
    except (URLError, OSError, ValueError, HTTPException) as error:
        raise _unreachable(_shown(address, path), error) from error
    return answer


def _shown(address: ProxyAddress, path: str) -> str:
    return address.url if address.url.startswith(UNIX) else address.url + path


class _NoRedirect(HTTPRedirectHandler):
    """Follow no redirect, so that the key goes only to the address that the operator named."""

    def redirect_request(self, *_: object) -> None:
        return None


def _config(file: Path | None, environ: Mapping[str, str]) -> Config | None:
    from llmproxy.batteries.config_file import load_config, served_file  # noqa: PLC0415 - slow to import

    file = served_file(file, environ)
    return None if file is None else load_config(file, environ)


def url_of(config: Config | None) -> str:
    """Return where a proxy with this config listens, as programs of its machine reach it."""
    if config is None:
        return DEFAULT_URL
    settings = config.general_settings
    if settings.bind_address.startswith(UNIX):
        return settings.bind_address
    scheme = "http" if _certificate(config) is None else "https"
    return f"{scheme}://{authority(reachable(settings.bind_address), settings.bind_port)}"


def _certificate(config: Config) -> str | None:
    from llmproxy.batteries.settings import full  # noqa: PLC0415 - slow to import

    tls = full(config.general_settings).tls
    return None if tls is None else tls.cert


def _key(config: Config | None, environ: Mapping[str, str]) -> str | None:
    if KEY_VARIABLE in environ:
        return environ[KEY_VARIABLE]
    if config is None:
        return None
    from llmproxy.batteries.settings import full  # noqa: PLC0415 - slow to import

    secret = full(config.general_settings).admin_key
    return None if secret is None else secret.get_secret_value()


def _unreachable(url: str, error: Exception) -> AdminApiError:
    why = error.reason if isinstance(error, URLError) else error
    if disagrees := disagreement(why, os.environ):
        return AdminApiError(f"No connection to {url}: {disagrees}")
    return AdminApiError(
        f"No LLMProxy answers at {url}: {why}. Is it running? Give its address with --url, "
        "or its config.",
        brief=f"{getattr(why, 'strerror', None) or why}.",
    )


def _refusal(base: str, url: str, error: HTTPError) -> str:
    """Return what the proxy says; the whole URL if it is not an answer of a proxy."""
    try:
        answer = json.load(error)
        detail = str(answer["error"]["message"] if "error" in answer else answer["detail"])
    except (OSError, ValueError, KeyError, TypeError, HTTPException):
        return f"{url} answered {error.code}: {error.reason}"
    remedy = f" This command takes it from {KEY_VARIABLE}, or else from the config."
    return f"{base} answered {error.code}: {detail}{remedy if error.code == UNAUTHORIZED else ''}"
