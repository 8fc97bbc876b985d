"""Which endpoint is asked in which dialect, and the translation of one call for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from time import monotonic

import msgspec
from msgspec.structs import replace

from llmproxy.batteries.translation.between import Between, in_dialect
from llmproxy.batteries.translation.hub import Destination, Language, Question
from llmproxy.batteries.translation.languages import LANGUAGES
from llmproxy.batteries.translation.speaking import spoken_by, supposed_of, target_of
from llmproxy.batteries.translation.unspoken import DOUBTFUL, DoubtedAnswer
from llmproxy.calls import Call, Headers
from llmproxy.config import Config
from llmproxy.errors import ClientError, Untranslatable
from llmproxy.operations.table import route_to
from llmproxy.providers.base import Endpoint, Endpoints, InDialect
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


def with_translators(config: Config, endpoints: Endpoints) -> Endpoints:
    """Return the endpoints of a config, with translators for those that may need one."""
    translating: dict[str, tuple[Endpoint, ...]] = {}
    for group in config.model_groups:
        row = endpoints[group.model_group]
        spoken = [
            spoken_by(entry, endpoint) for entry, endpoint in zip(group.models, row, strict=True)
        ]
        policy = group.on_untranslatable or config.general_settings.on_untranslatable
        supposed = [
            supposed_of(entry, endpoint) for entry, endpoint in zip(group.models, row, strict=True)
        ]
        certain = [one - other for one, other in zip(spoken, supposed, strict=True)]
        native = frozenset[str]().union(*certain)
        translating[group.model_group] = tuple(
            replace(
                endpoint,
                translators=dict.fromkeys(
                    (name for name in LANGUAGES if name in doubtful or name not in dialects),
                    EndpointTranslator(
                        endpoint=endpoint,
                        speaks=dialects,
                        drops=policy == "drop",
                        max_output_tokens=entry.max_output_tokens,
                        native=native,
                        supposed=doubtful,
                        unspoken=set(),
                    ),
                ),
            )
            for entry, endpoint, dialects, doubtful in zip(
                group.models, row, spoken, supposed, strict=True
            )
        )
    return translating


def notes_of(config: Config, endpoints: Endpoints) -> Iterator[str]:
    """Yield what is translated for each endpoint of the groups whose endpoints differ in that."""
    translating = with_translators(config, endpoints)
    for name, row in translating.items():
        told = {
            endpoint.name: "".join(set(map(str, endpoint.translators.values()))) for endpoint in row
        }
        if len(set(told.values())) > 1:
            yield from (
                f"Group {name!r}: endpoint {endpoint!r} {what}."
                for endpoint, what in told.items()
                if what
            )


def _state_of(body: bytes) -> list[str]:
    """Return the members by which a call depends on what an endpoint keeps."""
    members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return [name for name in _STATE if name in members]


def _refusal(message: str, param: str | None) -> Untranslatable:
    refusal = Untranslatable(message)
    refusal.code, refusal.kind = "untranslatable", "invalid_request_error"
    refusal.status, refusal.param = 400, param
    return refusal


class EndpointTranslator(msgspec.Struct, frozen=True):
    """Translates calls for one endpoint, of the dialects that it may not speak.

    `speaks`: the endpoint's dialects. `supposed`: those of them that are not certain; one that it
    turns out not to speak is added to `unspoken`. `drops`: what cannot be said is left out, not
    refused. `native`: the dialects that some endpoint of its group certainly speaks: that endpoint
    may later get what the client sends back.
    """

    endpoint: Endpoint
    speaks: frozenset[str]
    drops: bool
    max_output_tokens: int | None
    native: frozenset[str]
    supposed: frozenset[str]
    unspoken: set[str]

    def __str__(self) -> str:
        pairs = [(name, target_of(name, self.speaks - self.unspoken)) for name in LANGUAGES]
        return "; ".join(f"translates {name} to {to}" for name, to in pairs if to is not None)

    def __call__(self, call: Call, record: CallRecord) -> tuple[Call, InDialect | None]:
        """Translate a call, and note that in the record. Raises Untranslatable."""
        dialect, body = call.route.dialect.name, call.body
        is_certain = dialect not in self.supposed
        if call.route.path != LANGUAGES[dialect].path and is_certain:
            raise self._not_translated(call.route.path)
        if call.method != "POST" or call.route.path != LANGUAGES[dialect].path:
            return call, None
        if not isinstance(body, bytes):
            return call, None
        target = target_of(dialect, self.speaks - self.unspoken)
        if target is None:
            return call, None if is_certain else partial(self._doubted, dialect)
        if call.happens_once:
            raise self._refusal(_state_of(body), target)
        source, destination = LANGUAGES[dialect], LANGUAGES[target]
        try:
            question = source.read_question(body)
            written = destination.write_question(question, self._destination(call, record))
        except ClientError as error:
            raise _refusal(error.message, error.param) from None
        lost = self._allowed((*question.unknown, *written.lost), target)
        left_out = (*lost, *question.hints, *written.hints)
        self._note(record, target, left_out)
        asked = _asked(call, written.body, question, destination)
        question = replace(question, foreign_thinking=dialect not in self.native)
        between = Between(asked, self.endpoint, question, source, destination, _named(left_out))
        return asked, partial(in_dialect, between)

    def _doubted(self, dialect: str, response: UpstreamResponse) -> UpstreamResponse:
        """Return a response that shows whether the endpoint speaks a supposed dialect."""
        if response.status not in DOUBTFUL:
            return response
        return DoubtedAnswer(response, partial(self.unspoken.add, dialect))

    def _destination(self, call: Call, record: CallRecord) -> Destination:
        endpoint = self.endpoint
        model = endpoint.model
        if endpoint.model_pattern is not None and call.model is not None:
            model = endpoint.named(call.model, record.group or "").model
        return Destination(
            provider=endpoint.provider.name,
            model=model,
            max_output_tokens=self.max_output_tokens,
        )

    def _allowed(self, lost: tuple[str, ...], target: str) -> tuple[str, ...]:
        """Return what is left out. Raises Untranslatable if it may not be."""
        if lost and not self.drops:
            raise self._refusal(lost, target)
        return lost

    def _refusal(self, lost: Sequence[str], target: str) -> Untranslatable:
        named = ", ".join(f"`{path}`" for path in lost[:MAX_NAMED])
        return _refusal(
            f"{named} cannot be translated for {self.endpoint.name!r}, which speaks {target}",
            lost[0] if lost else None,
        )

    def _not_translated(self, path: str) -> Untranslatable:
        """Return the refusal of an operation that only the client's dialect has."""
        speaks = " and ".join(sorted(self.speaks))
        refusal = _refusal(
            f"`/v1/{path}` is not translated for {self.endpoint.name!r}, which speaks {speaks}",
            None,
        )
        refusal.status, refusal.kind = 404, "not_found_error"
        return refusal

    def _note(self, record: CallRecord, target: str, left_out: tuple[str, ...]) -> None:
        named = ", ".join(left_out[:MAX_NAMED])
        changes = f"translated to {target}" + (f", without {named}" if named else "")
        record.steps.append(Changed(self.endpoint.name, monotonic(), changes))


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
