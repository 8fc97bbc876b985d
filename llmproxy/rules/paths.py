"""From a request's path to its route: which operation it asks for, and in which style.

A path outside the data plane has no route. A path inside it that an endpoint could read as a
different one (dot segments, encoded slashes, control characters) is refused. Ids keep their
percent-encoding, so what was checked is what is sent.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from llmproxy.errors import ClientError
from llmproxy.operations import Dialect, Route, operation_at
from llmproxy.operations.table import OPERATIONS, ROOT_SEGMENTS, route_to

PREFIXES = (b"/v1/", b"/openai/v1/", b"/openai/", b"/")
DEPLOYMENTS = b"/openai/deployments/"

_MODELS = b"models/"
_PLAIN = re.compile(rb"[A-Za-z0-9_/.:@!$&'()*+,;=~-]+")
_ROOTS = frozenset(segment.encode("ascii") for segment in ROOT_SEGMENTS)
_ENCODED = re.compile(rb"%[0-9A-Fa-f]{2}")
# Encoded, these could still split or end the path for an endpoint; `%` would decode twice.
_NEVER_ENCODED = frozenset(b"/\\?#%\x7f") | frozenset(range(0x20))


def route_of(path: bytes, method: str) -> Route | None:
    """Return the route of a raw request path (no query); None outside the data plane.

    Raises ClientError (400) for a path of the data plane that is ambiguous.
    """
    usual = _USUAL.get((method, path))
    if usual is not None:
        return usual
    path = _tidied(path)
    if (usual := _USUAL.get((method, path.rstrip(b"/")))) is not None:
        return usual
    if path.startswith(DEPLOYMENTS):
        return _azure_route(path, method)
    rest = _below_prefix(path)
    if not rest:
        return None
    # A model's name may begin with a slash, as a path does.
    is_model = rest.startswith(_MODELS)
    checked = _checked_name(rest, may_begin_with_slash=True) if is_model else _checked(rest)
    return route_to(checked, method)


def dialect_of(path: bytes) -> Dialect:
    """Return the dialect of a raw request path, for errors of ours. Never raises."""
    path = _tidied(path)
    if path.startswith(DEPLOYMENTS):
        rest = path[len(DEPLOYMENTS) :].partition(b"/")[2]
    else:
        rest = _below_prefix(path)
    return operation_at(rest.decode("latin-1")).dialect


def _tidied(path: bytes) -> bytes:
    """Return a path with one slash at its beginning: base URLs that end in one make two of it."""
    return b"/" + path.lstrip(b"/") if path.startswith(b"//") else path


def _below_prefix(path: bytes) -> bytes:
    """Return what follows the style of the client's base URL; b"" outside the data plane."""
    for prefix in PREFIXES:
        if path.startswith(prefix):
            rest = path[len(prefix) :]
            known = prefix.endswith(b"v1/") or rest.partition(b"/")[0] in _ROOTS
            return rest if known else b""
    return b""


def _azure_route(path: bytes, method: str) -> Route | None:
    """Route `/openai/deployments/{model}/{operation}`, the style of AzureOpenAI clients."""
    name, _, operation = path[len(DEPLOYMENTS) :].partition(b"/")
    if not name or not operation:
        return None
    try:
        model = unquote_to_bytes(_checked_name(name)).decode("utf-8")
    except UnicodeDecodeError:
        raise _refused("a deployment name that is not UTF-8") from None
    return route_to(_checked(operation), method, model)


def _checked(path: bytes) -> str:
    """Return the path as text, unchanged. Raises ClientError if a part of it is ambiguous."""
    plain = _PLAIN.fullmatch(path) is not None
    if not plain:
        _check_characters(path)
    for segment in path.split(b"/"):
        name = segment if plain else unquote_to_bytes(segment)
        if not name:
            raise _refused("an empty segment")
        if name == b"." or name.startswith(b".."):
            raise _refused("a dot segment")
    return path.decode("ascii")


def _checked_name(path: bytes, *, may_begin_with_slash: bool = False) -> str:
    """Check a path that names a model. `meta-llama/Llama-3.1-8B` and `/models/llama` come as one
    segment, their slashes encoded."""
    name = path.removeprefix(_MODELS).replace(b"%2F", b"/").replace(b"%2f", b"/")
    _checked(name.removeprefix(b"/") if may_begin_with_slash else name)
    return path.decode("ascii")


def _check_characters(path: bytes) -> None:
    if any(byte <= 0x20 or byte >= 0x7F or byte in b"\\?#" for byte in path):
        raise _refused("a space, a control character or a character that must be encoded")
    escapes = _ENCODED.findall(path)
    if len(escapes) != path.count(b"%"):
        raise _refused("a % that is not followed by two hexadecimal digits")
    for escape in escapes:
        if int(escape[1:], 16) in _NEVER_ENCODED:
            raise _refused(f"an encoded character that no id has ({escape.decode()})")


def _refused(found: str) -> ClientError:
    return ClientError(
        f"The path of this request has {found}. Send the path as the API documents it, ids "
        "percent-encoded.",
        code="invalid_path",
    )


# The routes of almost every call, so that they cost one look-up. The table is fixed: no client can
# fill it with junk.
_USUAL = {
    ("POST", prefix + path.encode("ascii")): route_to(path)
    for prefix in PREFIXES
    for path in OPERATIONS
    if not path.endswith("/")
}
