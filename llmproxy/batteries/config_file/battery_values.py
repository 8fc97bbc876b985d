"""Checks of single values: those that only batteries read, and addresses copied from elsewhere.

The core checks the values that it uses itself (`llmproxy.config.checks`). No check repeats a value
that may be secret; a `{value}` is replaced with as much as may be shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import SplitResult, urlsplit

from llmproxy.batteries.addresses import MAX_UNIX_PATH, UNIX
from llmproxy.batteries.config_file.raw import Conflict, Path, get

Wrong = tuple[str, str] | None  # what was found, and the remedy; None: nothing is wrong


_HOST = re.compile(r"[0-9A-Za-z._:-]+")
_HOST_NAME = re.compile(r"[0-9A-Za-z._-]+")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[0-9a-z._\[\]:-]+/?", re.IGNORECASE)
_VISIBLE = re.compile(r"[!-~]+")
_SHA_256 = re.compile(r"[0-9a-fA-F]{64}")
# The end of a URL that names one operation; the proxy adds it to the base URL of every call.
_OPERATION = re.compile(
    r"/(chat/completions|completions|responses|embeddings|messages|rerank|moderations|models"
    r"|images/\w+|audio/\w+)/?"
)
_REDIS_URL = "Write rediss://user:password@host:6379/0; in a password, / is %2F and # is %23."


def battery_values(config: object) -> Iterator[Conflict]:
    """Yield each value of a raw config that its battery could not use."""
    for section in ("general_settings", "model_groups"):
        yield from _wrong(get(config, section), (section,))


def _wrong(value: object, path: Path) -> Iterator[Conflict]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _wrong(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _wrong(item, (*path, index))
    elif isinstance(value, str):
        check = CHECKS.get(tuple(part for part in path[1:] if isinstance(part, str)))
        if check is not None and (wrong := check(value)) is not None:
            yield Conflict(path, *wrong, value=value)


def _key(value: str) -> Wrong:
    """Check a key that clients send in a request header."""
    if not value:
        return "found an empty key.", "Is the variable behind it set?"
    if not _VISIBLE.fullmatch(value):
        return (
            "found a key with a space, a line break or a character outside ASCII.",
            "Remove it: no client could send it.",
        )
    return None


def _key_digest(value: str) -> Wrong:
    """Check the SHA-256 of a key, as sha256sum prints it."""
    if _SHA_256.fullmatch(value):
        return None
    return (
        "expected the 64 hex digits of a SHA-256.",
        "Write the output of `printf %s KEY | sha256sum`, or the key itself as `key`.",
    )


def _origin(value: str) -> Wrong:
    """Check the origin of a web page."""
    if value in ("*", "null") or _ORIGIN.fullmatch(value):
        return None
    return (
        "expected the origin of a web page, found {value}.",
        "Write scheme, host and perhaps port, such as https://app.example.com or "
        'http://localhost:5173; no path, no pattern. "*" alone means every page.',
    )


def _host_name(value: str) -> Wrong:
    """Check a name by which clients reach the proxy, without a port."""
    if _HOST_NAME.fullmatch(value):
        return None
    return (
        "expected a host name, found {value}.",
        "Write it without scheme, port and path, such as llm.example.com.",
    )


def _bind_address(value: str) -> Wrong:
    """Check the path of a UNIX socket. Other addresses are the system's to check."""
    if not value.startswith(UNIX):
        if not value.startswith("["):
            return None
        return "expected an address, found {value}.", f"Write it without brackets: {value[1:-1]}."
    path = value.removeprefix(UNIX)
    is_file = path.startswith("/") and not path.endswith("/") and path.isprintable()
    if is_file and len(path.encode()) <= MAX_UNIX_PATH:
        return None
    return (
        "expected the path of a UNIX socket, found {value}.",
        f"Write unix:/run/llmproxy/llmproxy.sock: one slash, and at most {MAX_UNIX_PATH} bytes "
        "after `unix:`.",
    )


def _health_check(value: str) -> Wrong:
    """Check what a health check asks."""
    if value in ("off", "free") or re.fullmatch(r"/[!-~]*", value):
        return None
    return (
        "expected off, free or a path, found {value}.",
        "A path begins with a slash and has no spaces, such as /health.",
    )


def _base_url(value: str) -> Wrong:
    """Check that a base URL is not that of one operation."""
    parts = _split(value)
    path = "" if parts is None else parts.path
    ends = [match for match in _OPERATION.finditer(path) if match.end() == len(path)]
    if not ends:
        return None
    return (
        "found {value}, the address of one operation.",
        f"Remove {ends[0][0].rstrip('/')} from its end: the proxy adds the path of each call.",
    )


def _azure_endpoint(value: str) -> Wrong:
    """Check the base URL of an Azure resource in the classic style, without the API's own path."""
    parts = _split(value)
    path = "" if parts is None else parts.path.rstrip("/")
    if path.endswith("/openai/v1"):
        return "found {value}, the v1 style.", "Write it as base_url, without api_version."
    if path.endswith("/openai") or "/openai/deployments" in path:
        return (
            "found {value}.",
            "Write the resource only, such as https://east.openai.azure.com; put the deployment "
            "into model or azure_deployment.",
        )
    return _base_url(value)


def _collector_url(value: str) -> Wrong:
    """Check a collector's URL, which must hold no secret: credentials belong in `headers`."""
    if not _VISIBLE.fullmatch(value):
        return (
            "found a URL that is empty, or has a space or a character outside ASCII.",
            "Write https://host/path.",
        )
    parts = _split(value)
    if parts is None:
        return "found a URL with an impossible host or port.", "Write https://host:port/path."
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "found {value}.", "Write http:// or https:// and a host: http://127.0.0.1:4318."
    if "@" in parts.netloc or "?" in value or "#" in value:
        return (
            "found a URL with a credential, a query or a fragment in it.",
            "Write scheme, host, port and path only; put a key into headers.",
        )
    return None


def _redis_url(value: str) -> Wrong:
    """Check a Redis address as redis-py takes it."""
    if not _VISIBLE.fullmatch(value):
        return "found a URL that is empty, or has a space or a character outside ASCII.", _REDIS_URL
    parts = _split(value)
    if parts is None:
        return "found a URL with an impossible host or port.", _REDIS_URL
    if "#" in value:
        return "found a URL with a fragment behind #.", _REDIS_URL
    if parts.scheme not in ("redis", "rediss", "unix"):
        return (
            "found an address that is not a Redis URL.",
            "Begin it with rediss:// (TLS), redis:// or unix:// (a socket's path).",
        )
    if parts.scheme == "unix":
        if len(parts.path) < 2:
            return "found unix:// without a path.", "Write unix:///path/of/the/socket."
        return None
    if not parts.hostname:
        return "found a URL without a host.", "Write rediss://user:password@host:6379/0."
    if not re.fullmatch(r"(/[0-9]{0,6})?", parts.path):
        return (
            "expected a database number after the host.",
            "Write rediss://user:password@host:6379/0; a / in a password is %2F.",
        )
    return None


def _database_url(value: str) -> Wrong:
    """Check where the store is: a server, a file, or nowhere."""
    remedy = "Write postgresql://user:password@host/database, the path of a file, or off."
    parts = _split(value)
    if parts is None or not value.strip():
        return "found an address that is empty, or has an impossible host or port.", remedy
    if parts.scheme in ("postgresql", "postgres"):
        if not value.startswith(f"{parts.scheme}://") or len(parts.path) < 2:
            return "found a PostgreSQL URL without a database.", remedy
    elif parts.scheme == "sqlite":
        if not value.startswith("sqlite:///") or len(parts.path) < 2:
            return "found an SQLite URL without a path.", "Write sqlite:////path/of/the/file."
    elif "://" in value:
        return "found an address that is neither PostgreSQL's nor SQLite's.", remedy
    return None


def _split(value: str) -> SplitResult | None:
    """Return the parts of a URL; None if its host or port is impossible."""
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _redis_host(value: str) -> Wrong:
    """Check a host name or address; a URL written here may hold a password."""
    if "/" in value or "@" in value:
        return "found a URL.", "Write it as redis_url."
    if value.count(":") == 1:
        return "found a host with a port.", "Move the port to redis_port."
    if not _HOST.fullmatch(value):
        return "expected a host.", "Write a host name or an IP address."
    return None


def _redis_password(value: str) -> Wrong:
    if value:
        return None
    return (
        "found an empty password.",
        "Is the variable behind it set? Remove the line if there is no password.",
    )


def _redis_namespace(value: str) -> Wrong:
    """Check a key prefix: no braces, which decide about a key's node in a cluster."""
    if re.fullmatch(r"[0-9A-Za-z._:-]{1,100}", value):
        return None
    return (
        "found a character other than letters, digits and . _ : - in the namespace.",
        "Use 1 to 100 of these, for example llmproxy-staging.",
    )


def _sentinel(value: str) -> Wrong:
    """Check a sentinel's host with an optional port; a URL written here may hold a password."""
    host, colon, port = value.partition(":")
    known = not colon or (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536)
    if known and _HOST.fullmatch(host):
        return None
    return "expected a host and a port.", "Write host:26379."


# The keys within general_settings or a model group -> the check of the value.
CHECKS: dict[tuple[str, ...], Callable[[str], Wrong]] = {
    ("bind_address",): _bind_address,
    ("admin_key",): _key,
    ("operators", "key"): _key,
    ("operators", "key_sha256"): _key_digest,
    ("callers", "key"): _key,
    ("callers", "key_sha256"): _key_digest,
    ("allowed_origins",): _origin,
    ("allowed_hosts",): _host_name,
    ("health_check",): _health_check,
    ("models", "health_check"): _health_check,
    ("models", "params", "base_url"): _base_url,
    ("models", "params", "azure_endpoint"): _azure_endpoint,
    ("tracing", "endpoint"): _collector_url,
    ("cache_params", "namespace"): _redis_namespace,
    ("redis_namespace",): _redis_namespace,
    ("database_url",): _database_url,
    ("redis_url",): _redis_url,
    ("redis_host",): _redis_host,
    ("redis_password",): _redis_password,
    ("redis_sentinels",): _sentinel,
}
