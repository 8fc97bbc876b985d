"""Checks of single values.

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
_HOST = re.compile(r"[0-9A-Za-z._:-]+")
_HOST_NAME = re.compile(r"[0-9A-Za-z._-]+")
_ORIGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://[0-9a-z._\[\]:-]+/?")
_VISIBLE = re.compile(r"[!-~]+")
_SHA_256 = re.compile(r"[0-9a-fA-F]{64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# The end of a URL that names one operation; the proxy adds it to the base URL of every call.
_OPERATION = re.compile(
    r"/(chat/completions|completions|responses|embeddings|messages|rerank|moderations|models"
    r"|images/\w+|audio/\w+)/?"
)
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


def origin(value: str) -> str:
    """Check the origin of a web page, and return it as browsers write it."""
    if value in ("*", "null"):
        return value
    found = _ORIGIN.fullmatch(text(value).lower())
    if found is None:
        refuse(
            "expected the origin of a web page, found {value}.",
            "Write scheme, host and perhaps port, such as https://app.example.com or "
            'http://localhost:5173; no path, no pattern. "*" alone means every page.',
        )
    default_port = {"http": ":80", "https": ":443"}.get(found["scheme"], "/")
    return found[0].rstrip("/").removesuffix(default_port)


def host_name(value: str) -> str:
    """Check a name by which clients reach the proxy, without a port."""
    if not _HOST_NAME.fullmatch(text(value)):
        refuse(
            "expected a host name, found {value}.",
            "Write it without scheme, port and path, such as llm.example.com.",
        )
    return value.lower().removesuffix(".")


def group_name(value: str) -> str:
    """Check a model group's name: "*" alone is a wildcard; other patterns do not exist."""
    if "*" in text(value) and value != "*":
        refuse(
            "found the pattern {value}, but names are not patterns.",
            'Write the whole name, or "*" alone for every name without a group of its own.',
        )
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
    return _header_safe(
        value,
        if_empty="Is the variable behind it set? To pass on the client's own key, remove the line.",
        if_not="Remove it; a line break often comes from the file that the key was read from.",
    )


def caller_key(value: SecretStr) -> SecretStr:
    """Check a key that clients send in a request header. Never repeat it in a message."""
    return _header_safe(
        value,
        if_empty="Is the variable behind it set?",
        if_not="Remove it: no client could send it.",
    )


def _header_safe(value: SecretStr, *, if_empty: str, if_not: str) -> SecretStr:
    """Check that a key is not empty and can be sent in a header; the other texts are remedies."""
    secret = value.get_secret_value()
    if not secret:
        refuse("found an empty key.", if_empty)
    if not _VISIBLE.fullmatch(secret):
        refuse("found a key with a space, a line break or a character outside ASCII.", if_not)
    return value


def key_digest(value: str) -> str:
    """Check the SHA-256 of a key, as sha256sum prints it."""
    if not _SHA_256.fullmatch(value):
        refuse(
            "expected the 64 hex digits of a SHA-256.",
            "Write the output of `printf %s KEY | sha256sum`, or the key itself as `key`.",
        )
    return value.lower()


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
    if (operation := _operation(parts.path)) is not None:
        refuse(
            "found {value}, the address of one operation.",
            f"Remove {operation} from its end: the proxy adds the path of each call.",
        )
    return value


def _operation(path: str) -> str | None:
    """Return the end of a URL's path that names an operation of the API; None if it has none."""
    ends = [match for match in _OPERATION.finditer(path) if match.end() == len(path)]
    return ends[0][0].rstrip("/") if ends else None


def collector_url(value: str) -> str:
    """Check a collector's URL, which must hold no secret: credentials belong in `headers`."""
    parts = _split(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        refuse("found {value}.", "Write http:// or https:// and a host: http://127.0.0.1:4318.")
    if "@" in parts.netloc or "?" in value or "#" in value:
        refuse(
            "found a URL with a credential, a query or a fragment in it.",
            "Write scheme, host, port and path only; put a key into headers.",
        )
    return value


def azure_endpoint(value: str) -> str:
    """Check the base URL of an Azure resource in the classic style, without the API's own path."""
    path = urlsplit(url(value)).path.rstrip("/")
    if path.endswith("/openai/v1"):
        refuse("found {value}, the v1 style.", "Write it as base_url, without api_version.")
    if path.endswith("/openai") or "/openai/deployments" in path:
        refuse(
            "found {value}.",
            "Write the resource only, such as https://east.openai.azure.com; put the deployment "
            "into model or azure_deployment.",
        )
    return value


def redis_url(value: SecretStr) -> SecretStr:
    """Check a Redis address as redis-py takes it. Never repeat it: it may hold a password."""
    parts = _redis_parts(value.get_secret_value())
    if parts.scheme not in ("redis", "rediss", "unix"):
        refuse(
            "found an address that is not a Redis URL.",
            "Begin it with rediss:// (TLS), redis:// or unix:// (a socket's path).",
        )
    if parts.scheme == "unix":
        if len(parts.path) < 2:
            refuse("found unix:// without a path.", "Write unix:///path/of/the/socket.")
        return value
    if not parts.hostname:
        refuse("found a URL without a host.", "Write rediss://user:password@host:6379/0.")
    if not re.fullmatch(r"(/[0-9]{0,6})?", parts.path):
        refuse(
            "expected a database number after the host.",
            "Write rediss://user:password@host:6379/0; a / in a password is %2F.",
        )
    return value


def redis_host(value: str) -> str:
    """Check a host name or address. Never repeat it: a URL written here may hold a password."""
    if "/" in value or "@" in value:
        refuse("found a URL.", "Write it as redis_url.")
    if value.count(":") == 1:
        refuse("found a host with a port.", "Move the port to redis_port.")
    if not _HOST.fullmatch(value):
        refuse("expected a host.", "Write a host name or an IP address.")
    return value


def redis_password(value: SecretStr) -> SecretStr:
    """Check that a password is not empty. Never repeat it in a message."""
    if not value.get_secret_value():
        refuse(
            "found an empty password.",
            "Is the variable behind it set? Remove the line if there is no password.",
        )
    return value


def redis_namespace(value: str) -> str:
    """Check a key prefix: no braces, which decide about a key's node in a cluster."""
    if not re.fullmatch(r"[0-9A-Za-z._:-]{1,100}", value):
        refuse(
            "found a character other than letters, digits and . _ : - in the namespace.",
            "Use 1 to 100 of these, for example llmproxy-staging.",
        )
    return value


def sentinel(value: str) -> str:
    """Check a sentinel's host with an optional port. Never repeat it, as for `redis_host`."""
    host, colon, port = value.partition(":")
    known = not colon or (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536)
    if not known or not _HOST.fullmatch(host):
        refuse("expected a host and a port.", "Write host:26379.")
    return value


def _redis_parts(value: str) -> SplitResult:
    remedy = "Write rediss://user:password@host:6379/0; in a password, / is %2F and # is %23."
    if not _VISIBLE.fullmatch(value):
        refuse("found a URL that is empty, or has a space or a character outside ASCII.", remedy)
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        refuse("found a URL with an impossible host or port.", remedy)
    if "#" in value:
        refuse("found a URL with a fragment behind #.", remedy)
    return parts


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
