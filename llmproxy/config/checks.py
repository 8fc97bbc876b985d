"""Checks of the values that the core uses.

Each check returns its value, or raises an error that says what was found and what to do. None
repeats a value that may be secret.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import SplitResult, urlsplit

from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr

REFUSED = "refused"  # the type of these errors among pydantic's

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a header's name, RFC 9110 section 5.6.2
_VISIBLE = re.compile(r"[!-~]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"}
_FRAMING = {"host", "content-length", "content-encoding", "transfer-encoding", "expect"}


def refuse(found: str, remedy: str, *, key: str | None = None) -> NoReturn:
    """Raise the error that says what is wrong with a value, and the remedy.

    The code that shows the message replaces `{value}` in `found` with as much as may be shown.
    `key`: the key of a mapping that is meant.
    """
    text = f"{found} {remedy}".replace("{value}", "this value")
    context = {"text": text, "found": found, "remedy": remedy, "key": key or ""}
    raise PydanticCustomError(REFUSED, "{text}", context)


def not_boolean(value: object) -> object:
    """Refuse a boolean where a number is expected: pydantic takes true for 1."""
    if isinstance(value, bool):
        refuse(f"expected a number, found {str(value).lower()}.", "Write a number.")
    return value


def nothing_is_empty(value: object) -> object:
    """Return an empty section for a section whose keys are all commented out."""
    return {} if value is None else value


def text(value: str) -> str:
    """Check a string: not empty, no control characters, no space around it."""
    if not value:
        refuse("found an empty string.", "Write a value, or remove the key.")
    if value != value.strip() or _CONTROL.search(value):
        refuse(
            "found a string with a control character, or with space around it.",
            "Remove it; a line break may come from a file or a variable.",
        )
    return value


def group_name(value: str) -> str:
    """Check a model group's name, and the model of an endpoint: at most one star."""
    if text(value).count("*") > 1:
        refuse("found {value}, which has more than one star.", "Write one, such as openai/*.")
    return value


def alias(value: str) -> str:
    """Check a further name of a model group."""
    if "*" in value:
        refuse("found a pattern as an alias.", "Write a whole name.")
    return value


def endpoint_name(value: str) -> str:
    """Check an endpoint's name, which is sent in a response header."""
    if len(value) > 100 or not _VISIBLE.fullmatch(value):
        refuse(
            "found a name that cannot stand in a response header.",
            "Use 1 to 100 visible ASCII characters without spaces, for example azure-east.",
        )
    return value


def credential(value: SecretStr) -> SecretStr:
    """Check a key, which is sent in a request header. Never repeat it in a message."""
    secret = value.get_secret_value()
    if not secret:
        refuse(
            "found an empty key.",
            "Is the variable behind it set? To pass on the client's own key, remove the line.",
        )
    if not _VISIBLE.fullmatch(secret):
        refuse(
            "found a key with a space, a line break or a character outside ASCII.",
            "Remove it; a line break often comes from the file that the key was read from.",
        )
    return value


def headers(values: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
    """Check headers to add to requests: valid on the wire, and without framing headers."""
    seen: set[str] = set()
    for name, value in values.items():
        if not _TOKEN.fullmatch(name):
            refuse("found an impossible header name.", "Use letters, digits, hyphens.", key=name)
        if name.lower() in _FRAMING | _HOP_BY_HOP:
            refuse("found a header that the proxy sets itself.", "Remove it.", key=name)
        if name.lower() in seen:
            refuse("found this header twice.", "Case does not count: keep one.", key=name)
        seen.add(name.lower())
        secret = value.get_secret_value()
        if _CONTROL.search(secret) or not secret.isascii() or secret != secret.strip():
            refuse(
                "found a value with a control character, space around it or a character outside "
                "ASCII.",
                "Remove it.",
                key=name,
            )
    return values


def url(value: str) -> str:
    """Check a base URL: http or https, with a host, without credentials, query or fragment."""
    parts = _split(value)
    if parts.username is not None or parts.password is not None:
        refuse("found a URL with a credential in it.", "Move the credential to api_key.")
    if parts.scheme not in ("http", "https"):
        refuse("found {value}.", "Begin the URL with https:// or http://.")
    if not parts.hostname:
        refuse("found {value}, which has no host.", "Write https://host/path.")
    if "?" in value or "#" in value:
        refuse(
            "found {value} with a query or a fragment.",
            "Move query parameters to default_query.",
        )
    return value


def _split(value: str) -> SplitResult:
    if not _VISIBLE.fullmatch(value):
        refuse(
            "found a URL that is empty, or has a space or a character outside ASCII.",
            "Write https://host/path.",
        )
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        refuse("found a URL with an impossible host or port.", "Write https://host:port/path.")
    return parts
