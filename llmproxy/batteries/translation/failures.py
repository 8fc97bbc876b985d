"""Reads errors of endpoints, whatever their shape, and writes them in a client's dialect."""

from __future__ import annotations

import msgspec

from llmproxy.batteries.translation.hub import ModelFailure
from llmproxy.errors import ClientError
from llmproxy.operations import Dialect
from llmproxy.providers.error_responses import parse_error

MAX_MESSAGE_CHARS = 1000


class _Named(msgspec.Struct):
    type: object = None
    code: object = None
    param: object = None


class _Enveloped(msgspec.Struct):
    error: _Named


_enveloped = msgspec.json.Decoder(_Enveloped)
_bare = msgspec.json.Decoder(_Named)


def read_failure(status: int, body: bytes) -> ModelFailure:
    """Read an error. A body that holds none, such as a page of HTML, becomes the message."""
    message = parse_error(body).message.strip()[:MAX_MESSAGE_CHARS] or f"status {status}"
    named = _Named()
    for decoder in (_enveloped, _bare):
        try:
            found = decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        named = found.error if isinstance(found, _Enveloped) else found
        break
    kind, code, param = map(_text, (named.type, named.code, named.param))
    return ModelFailure(status=status, message=message, kind=kind or "", code=code, param=param)


def write_failure(failure: ModelFailure, dialect: Dialect) -> bytes:
    """Write an error as a dialect's errors of ours are written."""
    status = failure.status if failure.status >= 400 else 500
    error = ClientError(failure.message, status=status, code=failure.code, param=failure.param)
    error.kind = failure.kind or ("invalid_request_error" if status < 500 else "server_error")
    return dialect.error_body(error, "")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
