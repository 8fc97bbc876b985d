"""What of an endpoint's configuration is secret."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping

from pydantic import SecretStr

from llmproxy.calls import Header
from llmproxy.masking import Secrets, bare_key

# Headers and parameters of an operator that say what is spoken, and prove nothing.
_HARMLESS = frozenset(
    (
        *("accept", "accept-language", "anthropic-beta", "anthropic-version", "api-version"),
        *("content-type", "http-referer", "openai-beta", "openai-version", "referer", "user-agent"),
        "x-title",
    )
)


def secrets_of(headers: Iterable[Header], query: Mapping[str, SecretStr]) -> Secrets:
    """Return the secrets among the headers and query parameters that an endpoint gets from us."""
    values = {name: value.get_secret_value() for name, value in query.items()}
    found = [value for name, value in values.items() if name.lower() not in _HARMLESS]
    for name, value in headers:
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
