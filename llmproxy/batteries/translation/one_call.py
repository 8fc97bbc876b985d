"""The translation of one call for an endpoint that does not speak its dialect."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from time import monotonic

import msgspec
from msgspec.structs import replace

from llmproxy.batteries.translation.between import Between, in_dialect
from llmproxy.batteries.translation.hub import Destination, Language, Question
from llmproxy.batteries.translation.languages import LANGUAGES
from llmproxy.batteries.translation.speaking import EndpointDialects
from llmproxy.batteries.translation.unspoken import DOUBTFUL, DoubtedAnswer
from llmproxy.calls import Call, Headers
from llmproxy.errors import ClientError, Untranslatable
from llmproxy.operations.table import route_to
from llmproxy.providers.base import Endpoint, InDialect
from llmproxy.record import CallRecord
from llmproxy.steps import Changed
from llmproxy.streams import UpstreamResponse

# Headers that mean something only in the client's dialect, or would have the answer compressed.
_OWN_HEADERS = frozenset(
    (b"anthropic-beta", b"anthropic-version", b"openai-beta", b"accept-encoding")
)
_STATE = ("background", "conversation", "previous_response_id")
DROPPED = b"x-llmproxy-dropped"
MAX_NAMED = 20  # paths in a message or a header


def translate(
    asked_in: EndpointDialects, call: Call, record: CallRecord
) -> tuple[Call, InDialect | None]:
    """Translate a call for an endpoint, and note that in the record. Raises Untranslatable."""
    dialect, body = call.route.dialect.name, call.body
    is_certain = dialect not in asked_in.supposed
    if call.route.path != LANGUAGES[dialect].path and is_certain:
        raise _not_translated(asked_in, call.route.path)
    if call.method != "POST" or call.route.path != LANGUAGES[dialect].path:
        return call, None
    if not isinstance(body, bytes):
        return call, None
    target = asked_in.target_of(dialect)
    if target is None:
        return call, None if is_certain else partial(_doubted, asked_in, dialect)
    if call.happens_once:
        raise _cannot_be_said(asked_in, _state_of(body), target)
    source, destination = LANGUAGES[dialect], LANGUAGES[target]
    try:
        question = source.read_question(body)
        written = destination.write_question(question, _destination(asked_in, call, record))
    except ClientError as error:
        raise _refusal(error.message, error.param) from None
    lost = (*question.unknown, *written.lost)
    if lost and not asked_in.drops:
        raise _cannot_be_said(asked_in, lost, target)
    left_out = (*lost, *question.hints, *written.hints)
    _note(asked_in.endpoint, record, target, left_out)
    asked = _asked(call, written.body, question, destination)
    question = replace(question, foreign_thinking=dialect not in asked_in.native)
    between = Between(asked, asked_in.endpoint, question, source, destination, _named(left_out))
    return asked, partial(in_dialect, between)


def _doubted(
    asked_in: EndpointDialects, dialect: str, response: UpstreamResponse
) -> UpstreamResponse:
    """Return a response that shows whether the endpoint speaks a supposed dialect."""
    if response.status not in DOUBTFUL:
        return response
    return DoubtedAnswer(response, partial(asked_in.unspoken.add, dialect))


def _destination(asked_in: EndpointDialects, call: Call, record: CallRecord) -> Destination:
    endpoint = asked_in.endpoint
    model = endpoint.model
    if endpoint.model_pattern is not None and call.model is not None:
        model = endpoint.named(call.model, record.group or "").model
    return Destination(
        provider=endpoint.provider.name,
        model=model,
        max_output_tokens=asked_in.max_output_tokens,
    )


def _state_of(body: bytes) -> list[str]:
    """Return the members by which a call depends on what an endpoint keeps."""
    members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return [name for name in _STATE if name in members]


def _cannot_be_said(asked_in: EndpointDialects, lost: Sequence[str], target: str) -> Untranslatable:
    """Return the refusal of a call that would lose something."""
    named = ", ".join(f"`{path}`" for path in lost[:MAX_NAMED])
    return _refusal(
        f"{named} cannot be translated for {asked_in.endpoint.name!r}, which speaks {target}",
        lost[0] if lost else None,
    )


def _not_translated(asked_in: EndpointDialects, path: str) -> Untranslatable:
    """Return the refusal of an operation that only the client's dialect has."""
    speaks = " and ".join(sorted(asked_in.speaks))
    refusal = _refusal(
        f"`/v1/{path}` is not translated for {asked_in.endpoint.name!r}, which speaks {speaks}",
        None,
    )
    refusal.status, refusal.kind = 404, "not_found_error"
    return refusal


def _refusal(message: str, param: str | None) -> Untranslatable:
    refusal = Untranslatable(message)
    refusal.code, refusal.kind = "untranslatable", "invalid_request_error"
    refusal.status, refusal.param = 400, param
    return refusal


def _note(endpoint: Endpoint, record: CallRecord, target: str, left_out: tuple[str, ...]) -> None:
    named = ", ".join(left_out[:MAX_NAMED])
    changes = f"translated to {target}" + (f", without {named}" if named else "")
    record.steps.append(Changed(endpoint.name, monotonic(), changes))


def _asked(call: Call, body: bytes, question: Question, destination: Language) -> Call:
    """Return the translated call, as the endpoint gets it."""
    return replace(
        call,
        route=route_to(destination.path),
        query=b"",
        headers=[header for header in call.headers if header[0] not in _OWN_HEADERS],
        body=body,
        model_in_body=question.model,
    )


def _named(left_out: Sequence[str]) -> Headers:
    """Return the header that names the members that were left out; none if there are none."""
    if not left_out:
        return []
    named = ", ".join(left_out[:MAX_NAMED])
    return [(DROPPED, named.encode("ascii", "backslashreplace"))]
