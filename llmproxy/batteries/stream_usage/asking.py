"""Which streams are asked for their usage, and how that is written into a call.

The first stream of an endpoint goes as its client has written it. It shows whether the endpoint
reports usage unasked; then it is not asked for, because the client would see it anyway. A refused
question is not asked again: of this call if the refusal may be about what the client has written
itself, else of no call.
"""

from __future__ import annotations

from functools import partial

import msgspec
from msgspec.structs import replace

from llmproxy.batteries.changed_answers import HeldAnswer
from llmproxy.batteries.settings import full
from llmproxy.batteries.stream_usage.quiet import FirstStream, QuietStream
from llmproxy.calls import Call
from llmproxy.config import Config
from llmproxy.errors import Untranslatable
from llmproxy.providers.base import Endpoint, Endpoints, InDialect, Translator
from llmproxy.record import CallRecord
from llmproxy.steps import Attempt
from llmproxy.streams import UpstreamResponse

PATHS = frozenset(("chat/completions", "completions"))
DIALECT = "chat"
REFUSALS = (400, 422)
REFUSED = Untranslatable.reason
WORDS = (b"stream_options", b"include_usage")  # of the question
_OPTIONS = b'"stream_options":{"include_usage":true}'
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Asked(msgspec.Struct):
    """What is known of an endpoint. `reports`: it reports usage unasked; None = not seen yet.

    `refuses`: it has refused the question. `writes_null`: it writes `"usage": null` unasked.
    """

    reports: bool | None = None
    refuses: bool = False
    writes_null: bool = False


def with_asking(config: Config, endpoints: Endpoints) -> Endpoints:
    """Return the endpoints of a config, with what asks them for usage if the config says so."""
    if full(config.general_settings).stream_usage != "ask":
        return endpoints
    return {group: tuple(map(_asking, row)) for group, row in endpoints.items()}


def _asking(endpoint: Endpoint) -> Endpoint:
    asking = UsageAsker(endpoint.translators.get(DIALECT), Asked())
    return replace(endpoint, translators={**endpoint.translators, DIALECT: asking})


class UsageAsker(msgspec.Struct, frozen=True):
    """Asks one endpoint for the usage of streams, a `Translator`. `inner`: translates before it."""

    inner: Translator | None
    asked: Asked

    def __str__(self) -> str:
        return "" if self.inner is None else str(self.inner)

    def __call__(self, call: Call, record: CallRecord) -> tuple[Call, InDialect | None]:
        """Return the call as the endpoint gets it, and what its response passes through."""
        sent, in_dialect = (call, None) if self.inner is None else self.inner(call, record)
        asked, body = self.asked, sent.body
        if not call.stream or in_dialect is not None or asked.refuses or asked.reports:
            return sent, in_dialect
        if call.route.path not in PATHS or not isinstance(body, bytes):
            return sent, in_dialect
        asking = asking_for_usage(body)
        if asking is None:  # the client asks itself
            return sent, in_dialect
        if asked.reports is None:
            return sent, partial(_seen_first, asked)
        if any(isinstance(step, Attempt) and step.reason == REFUSED for step in record.steps):
            return sent, in_dialect
        by_client = any(word in body for word in WORDS)
        return replace(sent, body=asking), partial(_quiet, asked, by_client)


def asking_for_usage(body: bytes) -> bytes | None:
    """Return a call that asks for the usage of its stream; None if it does, or cannot be read."""
    if b'"stream_options"' not in body:
        end = body.rstrip()
        return end[:-1] + b"," + _OPTIONS + b"}" if end.endswith(b"}") else None
    try:
        members = _members.decode(body)
        given = bytes(members.get("stream_options", b"null"))
        options = {} if given == b"null" else _members.decode(given)
    except _UNREADABLE:
        return None
    if bytes(options.get("include_usage", b"")) == b"true":
        return None
    options["include_usage"] = msgspec.Raw(b"true")
    return msgspec.json.encode({**members, "stream_options": options})


def _seen_first(asked: Asked, response: UpstreamResponse) -> UpstreamResponse:
    if response.status >= 400 or not response.content.events:
        return response
    return FirstStream(response, partial(_learn, asked))


def _learn(asked: Asked, reports: bool, writes_null: bool) -> None:
    asked.reports, asked.writes_null = reports, writes_null


def _quiet(asked: Asked, by_client: bool, response: UpstreamResponse) -> UpstreamResponse:
    if response.status in REFUSALS:
        return RefusedQuestion(response, Asked() if by_client else asked)
    if response.status >= 400 or not response.content.events:
        return response
    return QuietStream(response, keeps_null=asked.writes_null)


class RefusedQuestion(HeldAnswer):
    """A refusal that may be one of the question. Then the call is sent again without it."""

    __slots__ = ("_asked",)

    def __init__(self, response: UpstreamResponse, asked: Asked) -> None:
        super().__init__(response, response.headers, response.content)
        self._asked = asked

    def passed_on(self, body: bytes) -> bytes:
        """Return the answer as it came. Raises Untranslatable if it names what we have added."""
        if any(word in body for word in WORDS):
            self._asked.refuses = True
            refused = Untranslatable("it refuses `stream_options`, which we have added")
            refused.again = True
            raise refused
        return body
