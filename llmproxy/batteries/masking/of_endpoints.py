"""Finds the secrets in the configuration of an endpoint."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterator
from urllib.parse import parse_qsl

from llmproxy.batteries.masking.secrets import Secrets, bare_key
from llmproxy.providers.base import Endpoint

# Headers and parameters of an operator that name a version or a format: no secrets.
_HARMLESS = frozenset(
    (
        *("accept", "accept-language", "anthropic-beta", "anthropic-version", "api-version"),
        *("content-type", "http-referer", "openai-beta", "openai-version", "referer", "user-agent"),
        "x-title",
    )
)


def secrets_of(endpoint: Endpoint) -> Secrets:
    """Return the secrets among the headers and query parameters that an endpoint gets from us."""
    parameters = parse_qsl(endpoint.query.decode("ascii"))
    found = [value for name, value in parameters if name.lower() not in _HARMLESS]
    for name, value in (*endpoint.credential, *endpoint.extra_headers):
        if name.decode("ascii") not in _HARMLESS:
            found += _in_header(value.decode("latin-1"))
    return Secrets(found)


def _in_header(value: str) -> Iterator[str]:
    """Yield the credential in a header, and the password in one of the scheme Basic."""
    key = bare_key(value)
    yield key
    if value[:6].lower() == "basic ":
        try:
            _, _, password = b64decode(key, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return
        yield password
