"""Asking a running proxy: where it is, which key it wants, and what a refusal means.

Shared by the commands that speak with /admin. Says every failure in one sentence with its remedy.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from llmproxy.config import Config, load_config

KEY_VARIABLE = "LLMPROXY_ADMIN_KEY"
DEFAULT_URL = "http://127.0.0.1:4000"
_PASSING = frozenset({500, 502, 503, 504})  # of what stands in front, while the proxy restarts


class AdminApiError(Exception):
    """The proxy cannot be asked, or refuses; the text says what to do.

    `brief`: the reason alone. `reached`: something answered, and asking again would not help.
    """

    def __init__(self, message: str, *, brief: str | None = None, reached: bool = False) -> None:
        super().__init__(message)
        self.brief = message if brief is None else brief
        self.reached = reached


@dataclass(frozen=True)
class ProxyAddress:
    """Where a proxy is (no slash at the end), and its admin_key."""

    url: str
    key: str | None = field(repr=False)


def find_address(
    url: str | None, file: Path | None, environ: Mapping[str, str] = os.environ
) -> ProxyAddress:
    """The proxy that is meant. The config is read only for what nothing else says.

    Raises ConfigError; and AdminApiError for a URL that is none, or a key that cannot be sent.
    """
    config = None
    if file is not None or url is None or KEY_VARIABLE not in environ:
        config = _config(file, environ)
    found = ProxyAddress((url or _url_of(config)).rstrip("/"), _key(config, environ))
    if not found.url.startswith(("http://", "https://")):
        raise AdminApiError(f"Expected --url http://host:port, found {url!r}.", reached=True)
    if found.key is not None and not (found.key.isascii() and found.key.isprintable()):
        # The client would say so, too, and show the key.
        raise AdminApiError(
            f"The admin_key (of {KEY_VARIABLE}, or of the config) has a character that no header "
            "can carry, such as a line break. Correct it.",
            reached=True,
        )
    return found


def ask(address: ProxyAddress, path: str, *, timeout_s: float, method: str = "GET") -> Any:
    """One call of the admin API, its JSON. Raises AdminApiError."""
    try:
        with open_response(address, path, timeout_s=timeout_s, method=method) as answer:
            return json.load(answer)
    except (OSError, ValueError, HTTPException) as error:
        raise _nothing_there(address.url + path, error) from error


def open_response(
    address: ProxyAddress, path: str, *, timeout_s: float, method: str = "GET"
) -> HTTPResponse:
    """One call whose answer is read by the caller, who closes it. Raises AdminApiError.

    `timeout_s` also bounds each later read.
    """
    url = address.url + path
    request = Request(url, method=method)  # noqa: S310 - the scheme was looked at
    if address.key is not None:
        request.add_header("authorization", f"Bearer {address.key}")
    try:
        # Nobody stands between the operator and the proxy (HTTP_PROXY is for vendors).
        opener = build_opener(ProxyHandler({}), _NoRedirect)
        answer: HTTPResponse = opener.open(request, timeout=timeout_s)
    except HTTPError as error:
        with error:
            said = f"{url} answered {error.code}: {_detail(error)}"
        brief = f"It answered {error.code}."
        raise AdminApiError(said, brief=brief, reached=error.code not in _PASSING) from error
    except (URLError, OSError, ValueError, HTTPException) as error:
        raise _nothing_there(url, error) from error
    return answer


class _NoRedirect(HTTPRedirectHandler):
    """The key goes to the address that the operator named, and to no other."""

    def redirect_request(self, *_: object) -> None:
        return None


def _config(file: Path | None, environ: Mapping[str, str]) -> Config | None:
    default = Path("llmproxy.yaml")
    if file is None and default.exists():
        file = default
    return None if file is None else load_config(file, environ)


def _url_of(config: Config | None) -> str:
    if config is None:
        return DEFAULT_URL
    settings = config.general_settings
    host = settings.bind_address
    if host in ("0.0.0.0", "::"):  # noqa: S104 - it listens everywhere, here too
        host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.bind_port}"


def _key(config: Config | None, environ: Mapping[str, str]) -> str | None:
    if KEY_VARIABLE in environ:
        return environ[KEY_VARIABLE]
    secret = None if config is None else config.general_settings.admin_key
    return None if secret is None else secret.get_secret_value()


def _nothing_there(url: str, error: Exception) -> AdminApiError:
    why = getattr(error, "reason", error)
    return AdminApiError(
        f"Nothing that is an LLMProxy answers at {url}: {why}. Is it running? Where it is, "
        "--url or --config says.",
        brief=f"{getattr(why, 'strerror', None) or why}.",
    )


def _detail(error: HTTPError) -> str:
    try:
        return str(json.load(error)["detail"])
    except (OSError, ValueError, KeyError, TypeError, HTTPException):
        return str(error.reason)
