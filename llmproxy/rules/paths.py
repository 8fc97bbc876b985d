"""What a request's path says: the operation, its dialect, and whether it may be sent again.

A path outside the data plane is None; a path inside it that could mean another one upstream (dot
segments, encoded slashes, control characters) is refused. The percent-encoding of ids is kept as
it came, so what was checked is what is sent.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from llmproxy.calls import Dialect, Replay, Route
from llmproxy.errors import ClientError

# First segments of OpenAI's API, its compatible vendors' and Anthropic's, which clients with a
# base URL without /v1 ask for at the root.
ROOT_SEGMENTS = frozenset(
    [
        "assistants",
        "audio",
        "batches",
        "chat",
        "classify",
        "completions",
        "containers",
        "conversations",
        "detokenize",
        "embed",
        "embeddings",
        "evals",
        "files",
        "fim",
        "fine-tuning",
        "fine_tuning",
        "images",
        "infill",
        "messages",
        "models",
        "moderations",
        "ocr",
        "realtime",
        "rerank",
        "responses",
        "score",
        "threads",
        "tokenize",
        "uploads",
        "vector_stores",
        "videos",
    ]
)
# Their ids live in one account or resource.
ACCOUNT_SEGMENTS = frozenset(
    [
        "assistants",
        "batches",
        "containers",
        "conversations",
        "evals",
        "files",
        "fine-tuning",
        "fine_tuning",
        "threads",
        "uploads",
        "vector_stores",
    ]
)
# Inference: nothing remains, so a second time does no harm (facts, "Safe to send again"). The
# background and conversation variants of responses are told by the body, not here.
SAFE_TO_POST = frozenset(
    [
        "chat/completions",
        "classify",
        "completions",
        "detokenize",
        "embed",
        "embeddings",
        "fim/completions",
        "infill",
        "messages",
        "messages/count_tokens",
        "moderations",
        "ocr",
        "rerank",
        "responses",
        "responses/compact",
        "responses/input_tokens",
        "score",
        "tokenize",
    ]
)
COSTLY_SEGMENTS = frozenset(("audio", "images"))
CHAT_OPERATIONS = frozenset(("chat/completions", "completions", "fim/completions"))
# Below these, what follows is an id: a stored answer in one account.
STORED = ("chat/completions/", "messages/batches", "videos/")
STATELESS_RESPONSES = frozenset(("responses", "responses/compact", "responses/input_tokens"))

PREFIXES = (b"/v1/", b"/openai/v1/", b"/openai/", b"/")
DEPLOYMENTS = b"/openai/deployments/"

_PLAIN = re.compile(rb"[A-Za-z0-9_/.:@!$&'()*+,;=~-]+")
_ENCODED = re.compile(rb"%[0-9A-Fa-f]{2}")
# Encoded, these could still split or end the path for somebody upstream; `%` would decode twice.
_NEVER_ENCODED = frozenset(b"/\\?#%\x7f") | frozenset(range(0x20))


def route_of(path: bytes, method: str) -> Route | None:
    """The route of a raw request path (no query); None if it is not the data plane's.

    Raises ClientError (400) for a path of the data plane that nobody should send.
    """
    usual = _USUAL.get((method, path))
    if usual is not None:
        return usual
    if path.startswith(DEPLOYMENTS):
        return _azure_route(path, method)
    for prefix in PREFIXES:
        if path.startswith(prefix):
            rest = path[len(prefix) :]
            break
    else:
        return None
    if not rest:
        return None
    if not prefix.endswith(b"v1/"):
        first = rest.partition(b"/")[0]
        if first.decode("latin-1") not in ROOT_SEGMENTS:
            return None
    checked = _checked_name(rest) if rest.startswith(b"models/") else _checked(rest)
    return _route(checked, method)


def _azure_route(path: bytes, method: str) -> Route | None:
    """`/openai/deployments/{model}/{operation}`, as AzureOpenAI clients ask."""
    name, _, operation = path[len(DEPLOYMENTS) :].partition(b"/")
    if not name or not operation:
        return None
    try:
        model = unquote_to_bytes(_checked_name(name)).decode("utf-8")
    except UnicodeDecodeError:
        raise _refused("a deployment name that is not UTF-8") from None
    return _route(_checked(operation), method, model)


def _route(operation: str, method: str, model: str | None = None) -> Route:
    return Route(
        operation,
        _dialect(operation),
        _replay(operation, method),
        _account_bound(operation, method),
        model,
    )


def _dialect(operation: str) -> Dialect:
    if operation in CHAT_OPERATIONS:
        return Dialect.CHAT
    match operation.partition("/")[0]:
        case "responses":
            return Dialect.RESPONSES
        case "messages":
            return Dialect.MESSAGES
        case _:
            return Dialect.OTHER


def _replay(operation: str, method: str) -> Replay:
    if method in ("GET", "HEAD", "OPTIONS"):
        return Replay.SAFE
    if method != "POST":
        return Replay.UNSAFE
    if operation in SAFE_TO_POST:
        return Replay.SAFE
    if operation.partition("/")[0] in COSTLY_SEGMENTS:
        return Replay.COSTLY
    return Replay.UNSAFE  # it may create something: in doubt, once only


def _account_bound(operation: str, method: str) -> bool:
    first = operation.partition("/")[0]
    if first in ACCOUNT_SEGMENTS:
        return True
    if first == "responses":
        return operation not in STATELESS_RESPONSES
    if first == "models":
        return method == "DELETE"
    if operation in ("chat/completions", "videos"):
        return method == "GET"  # a list of what the account has stored
    return operation.startswith(STORED)


def _checked(path: bytes) -> str:
    """The path as text, unchanged, if every part of it can only mean itself."""
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


def _checked_name(path: bytes) -> str:
    """The same where a model is named: names like `meta-llama/Llama-3.1-8B` come as one segment,
    their slash encoded."""
    _checked(path.replace(b"%2F", b"/").replace(b"%2f", b"/"))
    return path.decode("ascii")


def _check_characters(path: bytes) -> None:
    if any(byte <= 0x20 or byte >= 0x7F or byte in b"\\?#" for byte in path):
        raise _refused("a space, a control character or a character that must be encoded")
    escapes = _ENCODED.findall(path)
    if len(escapes) != path.count(b"%"):
        raise _refused("a % that encodes nothing")
    for escape in escapes:
        if int(escape[1:], 16) in _NEVER_ENCODED:
            raise _refused(f"an encoded character that has no place in an id ({escape.decode()})")


def _refused(found: str) -> ClientError:
    return ClientError(
        f"The path of this request has {found}. Send the path as the API documents it, ids "
        "percent-encoded.",
        code="invalid_path",
    )


# The paths of almost every call, so that they cost one look-up. A fixed table, which no client can
# fill with junk.
_USUAL = {
    ("POST", prefix + operation.encode("ascii")): _route(operation, "POST")
    for prefix in PREFIXES
    for operation in (
        "chat/completions",
        "completions",
        "embeddings",
        "messages",
        "moderations",
        "rerank",
        "responses",
    )
}
