"""Reads the text frames of a session: the type of an event, its usage, the model that it names.

Most frames are audio or pieces of text, so only the beginning of an event's type is searched for.
Nothing here raises for what it does not understand.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from llmproxy.errors import ClientError, GatewayError, UpstreamError
from llmproxy.operations import Dialect, Usage
from llmproxy.operations.dialects.base import ABSENT, UNREADABLE, is_truthy, members, text_of
from llmproxy.operations.usage import Counts, Details
from llmproxy.providers.base import Endpoint
from llmproxy.providers.error_responses import readable_body
from llmproxy.rules.body import peek, with_model

CREATE = b'"response.create"'
CREATED, ITEM_DONE = b"response.created", b"response.output_item.done"
# Realtime has `response.done` for whatever ends a response; Responses has a type for each end.
ENDS = frozenset(
    (b"response.done", b"response.completed", b"response.incomplete", b"response.failed")
)
# The members of a usage that are numbers of tokens, or of searches.
COUNTED = tuple(name for name in Usage.__struct_fields__ if name.endswith(("_tokens", "searches")))
_SETS_MODEL = (b'"session.update"', b'"transcription_session.update"')
_BEGINNING = b'"response.'
_BACKSLASH = 0x5C


def kind_of(payload: bytes) -> bytes:
    """Return the type of an event, if it begins with `response.`; else b""."""
    at = payload.find(_BEGINNING)
    while at > 0 and payload[at - 1] == _BACKSLASH:  # in a text
        at = payload.find(_BEGINNING, at + 1)
    return payload[at + 1 : payload.find(b'"', at + 1)] if at >= 0 else b""


def may_be_error(payload: bytes) -> bool:
    """Return whether an event that is no response's says that something failed."""
    return payload.find(b'"error"') >= 0


class _Counts(Counts, gc=False):
    """Realtime writes `input_token_details`, Responses `input_tokens_details`."""

    input_token_details: Details | None = None
    output_token_details: Details | None = None


class _EndedResponse(msgspec.Struct, gc=False):
    usage: _Counts | None = None
    service_tier: msgspec.Raw = ABSENT


class _End(msgspec.Struct, gc=False):
    response: _EndedResponse | None = None


_end = msgspec.json.Decoder(_End)


def usage_in_end(payload: bytes) -> Usage | None:
    """Return the usage in the event that ends a response; None if there is none."""
    try:
        response = _end.decode(payload).response
    except UNREADABLE:
        return None
    if response is None or response.usage is None:
        return None
    counts = response.usage
    counts.input_tokens_details = counts.input_tokens_details or counts.input_token_details
    counts.output_tokens_details = counts.output_tokens_details or counts.output_token_details
    return counts.usage(response.service_tier)


def added(one: Usage | None, other: Usage) -> Usage:
    """Return two usages as one."""
    if one is None:
        return other
    sums = {name: getattr(one, name) + getattr(other, name) for name in COUNTED}
    charged = None if one.charged_usd is None else one.charged_usd + (other.charged_usd or 0.0)
    estimated = one.estimated or other.estimated
    return replace(other, **sums, charged_usd=charged, estimated=estimated)


def unfinished(usage: Usage | None) -> Usage:
    """Return the usage of a session that ended while a response was under way: at least this."""
    return replace(usage or Usage(0, 0), estimated=True)


def model_named_in(message: bytes) -> str | None:
    """Return the model that a `response.create` names. Raises ClientError for what is no JSON."""
    return peek(message).model


def adapted(message: bytes, endpoint: Endpoint) -> bytes:
    """Return a `response.create` of Responses as an endpoint takes it: its name of the model, and
    the parameters that the config changes. Raises ClientError if the model cannot be replaced."""
    model = endpoint.model
    if model is not None and peek(message).model not in (None, model):
        message = with_model(message, model)
    return message if endpoint.edit is None else endpoint.edit(message)[0]


def with_session_model(message: bytes, ours: str | None, theirs: str | None) -> bytes:
    """Return an event of realtime with the endpoint's name in `session.model`, if it has ours."""
    if theirs in (None, ours) or not any(message.find(kind) >= 0 for kind in _SETS_MODEL):
        return message
    event = members(msgspec.Raw(message))
    session = members(event.get("session", ABSENT))
    if text_of(session.get("model", ABSENT)) != ours:
        return message
    session["model"] = msgspec.Raw(msgspec.json.encode(theirs))
    event["session"] = msgspec.Raw(msgspec.json.encode(session))
    return msgspec.json.encode(event)


def error_event(error: GatewayError, dialect: Dialect, call_id: str, code: str = "") -> bytes:
    """Return an error as an event, in the shape that both APIs share. `code`: in place of its own.

    An endpoint's own error stays as it came.
    """
    body = dialect.error_body(error, call_id)
    if isinstance(error, UpstreamError) and error.answer is not None:
        body = readable_body(error.answer) or body
    said = members(msgspec.Raw(body)).get("error", ABSENT)
    if not is_truthy(said) or not members(said):
        body = dialect.error_body(error, call_id)
        said = members(msgspec.Raw(body))["error"]
    if code:
        said = msgspec.Raw(msgspec.json.encode({**members(said), "code": code}))
    event = {"type": "error", "event_id": f"event_{call_id}", "status": error.status, "error": said}
    return msgspec.json.encode(event)


def other_model(named: str, model: str | None) -> ClientError:
    """Return the error for a `response.create` that names another model than the session's."""
    return ClientError(
        f"This connection serves the model '{model}'; open another one for '{named}'.",
        code="model_not_in_session",
        param="model",
    )
