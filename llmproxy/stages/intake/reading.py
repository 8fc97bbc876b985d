"""Understanding a request as far as routing needs it: from a Request to a Call.

A JSON body is looked into, never decoded whole; a form is read until its model is known. Nothing
here changes a byte of what will be forwarded, except that an encoded body is decoded.
"""

from __future__ import annotations

import os
from itertools import count
from urllib.parse import parse_qs

from llmproxy.calls import BodyReader, Call, Headers, Replay, Request, Route, Trail, Upload
from llmproxy.config import GeneralSettings
from llmproxy.errors import ClientError
from llmproxy.rules.body import Peek, peek
from llmproxy.rules.encoding import decoded
from llmproxy.rules.paths import route_of
from llmproxy.stages.intake.uploads import SpooledForm

MAX_DECODED_RATIO = 200.0
MAX_ID_BYTES = 128
NOTHING = Peek(None, False, None, False)


class Intake:
    """Reads requests. Knows the limits from config; keeps nothing of a call."""

    __slots__ = ("_calls", "_id_prefix", "_max_body_bytes", "_max_upload_bytes", "_total_s")

    def __init__(self, settings: GeneralSettings) -> None:
        self._calls = count(1)
        self._id_prefix = f"req_{os.urandom(12).hex()}"
        self._max_upload_bytes = settings.max_upload_bytes
        self._max_body_bytes = settings.max_body_bytes
        self._total_s = settings.timeouts.total_s

    def read(self, request: Request, trail: Trail) -> Reading:
        """`async with` it: yields the Call, and frees what its body holds on disk."""
        return Reading(self, request, trail)

    async def understand(self, request: Request) -> Call:
        """The call in a request. Raises ClientError for what cannot be a call."""
        route = route_of(request.path, request.method)
        if route is None:
            raise not_found(request)
        asked = _Asked(request.headers)
        body: bytes | Upload
        if isinstance(request.body, bytes):
            body, found = self._look_into(request.body, asked)
        else:
            body, found = await self._read_form(request.body, asked)
        return Call(
            id=asked.request_id or self._new_call_id(),
            method=request.method,
            route=route,
            query=request.query,
            headers=request.headers,
            body=body,
            model=found.model or route.model or _model_in(request.query),
            model_in_body=found.model,
            stream=found.stream,
            replay=Replay.UNSAFE if _creates_state(route, found) else route.replay,
            client=request.client,
            received_at=request.received_at,
            deadline_at=request.received_at + asked.patience_s(self._total_s),
            max_output_tokens=found.max_output_tokens,
        )

    def _new_call_id(self) -> str:
        """An id for a call whose client sent none: 96 random bits a process, and a number."""
        return f"{self._id_prefix}{next(self._calls):08x}"

    def _look_into(self, body: bytes, asked: _Asked) -> tuple[bytes, Peek]:
        if not body:
            return body, NOTHING
        if asked.content_encoding:
            body = decoded(
                body,
                asked.content_encoding,
                max_bytes=self._max_body_bytes,
                max_ratio=MAX_DECODED_RATIO,
            )
        if asked.content_type and b"json" not in asked.content_type.lower():
            return body, NOTHING
        return body, peek(body)

    async def _read_form(self, reader: BodyReader, asked: _Asked) -> tuple[Upload, Peek]:
        if asked.content_encoding not in (b"", b"identity"):
            raise ClientError("A multipart body must come without a content-encoding.", status=415)
        form = SpooledForm(
            reader,
            asked.content_type,
            length=asked.content_length,
            max_bytes=self._max_upload_bytes,
        )
        try:
            await form.read_model()
        except BaseException:
            form.close()
            raise
        return form, Peek(form.model, form.stream, None, False)


class Reading:
    """One request being read."""

    __slots__ = ("_call", "_intake", "_request", "_trail")

    def __init__(self, intake: Intake, request: Request, trail: Trail) -> None:
        self._intake = intake
        self._request = request
        self._trail = trail

    async def __aenter__(self) -> Call:
        self._call = self._trail.call = await self._intake.understand(self._request)
        return self._call

    async def __aexit__(self, *_: object) -> None:
        body = self._call.body
        if isinstance(body, SpooledForm):
            body.close()


class _Asked:
    """What the headers of a request say to us."""

    __slots__ = (
        "content_encoding",
        "content_length",
        "content_type",
        "request_id",
        "timeouts_s",
    )

    def __init__(self, headers: Headers) -> None:
        self.content_type = b""
        self.content_encoding = b""
        self.content_length: int | None = None
        self.request_id = ""
        self.timeouts_s: list[float] = []
        for name, value in headers:
            if name not in TELLING_HEADERS:
                continue
            if name == b"content-type":
                self.content_type = value
            elif name == b"content-encoding":
                self.content_encoding = value.lower()
            elif name == b"content-length":
                self.content_length = int(value)
            elif name == b"x-request-id":
                self.request_id = value[:MAX_ID_BYTES].decode("latin-1")
            else:
                self._note_timeout(name, value)

    def _note_timeout(self, name: bytes, value: bytes) -> None:
        try:
            seconds = float(value)
        except ValueError:
            if name == b"x-llmproxy-timeout-s":
                raise ClientError(
                    f"x-llmproxy-timeout-s must be a number of seconds, found {value!r}."
                ) from None
            return
        # An SDK gives up at its timeout; our answer should arrive just before.
        margin_s = 0.0 if name == b"x-llmproxy-timeout-s" else min(1.0, seconds / 10)
        if seconds > 0:
            self.timeouts_s.append(seconds - margin_s)

    def patience_s(self, total_s: float) -> float:
        """How long the client will wait, in seconds, `total_s` at most."""
        return min(total_s, *self.timeouts_s) if self.timeouts_s else total_s


TELLING_HEADERS = frozenset(
    (
        b"content-type",
        b"content-encoding",
        b"content-length",
        b"x-request-id",
        b"x-llmproxy-timeout-s",
        b"x-stainless-read-timeout",
        b"x-stainless-timeout",
    )
)


def _creates_state(route: Route, found: Peek) -> bool:
    return found.stateful and route.operation.startswith("responses")


def _model_in(query: bytes) -> str | None:
    if b"model=" not in query:
        return None
    values = parse_qs(query.decode("latin-1")).get("model")
    return values[0] if values else None


def not_found(request: Request) -> ClientError:
    """The error for a path that nobody serves."""
    path = request.path.decode("latin-1")
    return ClientError(f"Invalid URL ({request.method} {path})", status=404, code="unknown_url")
