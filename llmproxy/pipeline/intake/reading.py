"""From a Request to a Call: parse a request as far as routing needs it.

A JSON body is peeked into, never decoded whole; a form is read until its model is known. No byte
of what will be forwarded changes, except that a compressed body is decompressed.
"""

from __future__ import annotations

import os
from itertools import count
from time import monotonic
from urllib.parse import parse_qs

from llmproxy.calls import Call, Patience, Request
from llmproxy.config import GeneralSettings
from llmproxy.errors import ClientError
from llmproxy.operations import Replay
from llmproxy.pipeline.intake.request_options import RequestOptions
from llmproxy.protocols import BodyReader, Form, ReadForm, ReadLabels
from llmproxy.record import CallRecord
from llmproxy.rules.body import Peek, peek
from llmproxy.rules.encoding import decoded
from llmproxy.rules.paths import route_of

MAX_DECODED_RATIO = 200.0
NOTHING = Peek()


class Intake:
    """Parses requests within the limits of the config. Keeps nothing of a call.

    `form_reader`: None = not installed; a multipart form is refused. `read_labels`: None = nothing
    keeps them.
    """

    __slots__ = (
        "_calls",
        "_form_reader",
        "_id_prefix",
        "_max_body_bytes",
        "_max_upload_bytes",
        "read_labels",
        "total_s",
    )

    def __init__(
        self,
        settings: GeneralSettings,
        form_reader: ReadForm | None = None,
        read_labels: ReadLabels | None = None,
    ) -> None:
        self.read_labels = read_labels
        self._form_reader = form_reader
        self._calls = count(1)
        self._id_prefix = f"req_{os.urandom(12).hex()}"
        self._max_upload_bytes = settings.max_upload_bytes
        self._max_body_bytes = settings.max_body_bytes
        self.total_s = settings.timeouts.total_s

    def read(self, request: Request, record: CallRecord) -> Reading:
        """Return a context manager that yields the Call, and frees what its body holds on disk."""
        return Reading(self, request, record)

    def new_call_id(self) -> str:
        """Return an id for a call without one: 96 random bits of the process, and a number."""
        return f"{self._id_prefix}{next(self._calls):08x}"

    def look_into(self, body: bytes, options: RequestOptions) -> tuple[bytes, Peek]:
        """Return a whole body, decoded, and the fields that routing needs. Raises ClientError."""
        if not body:
            return body, NOTHING
        if options.content_encoding:
            body = decoded(
                body,
                options.content_encoding,
                max_bytes=self._max_body_bytes,
                max_ratio=MAX_DECODED_RATIO,
            )
        # `curl -d` sends JSON as a form; a body that looks like an object is read as one.
        if options.content_type.lower().find(b"json") >= 0 or body.lstrip()[:1] == b"{":
            return body, peek(body)
        return body, NOTHING

    async def read_form(self, reader: BodyReader, options: RequestOptions) -> tuple[Form, Peek]:
        """Read a form until its model is known. Raises ClientError."""
        if self._form_reader is None:
            raise ClientError(
                "Expected a JSON body, found a multipart form: this proxy is installed without "
                "`llmproxy.batteries.uploads`. Ask its operator to install the whole of llmproxy.",
                status=415,
                code="uploads_not_installed",
            )
        if options.content_encoding not in (b"", b"identity"):
            raise ClientError("Send a multipart body without a content-encoding.", status=415)
        form = await self._form_reader(
            reader,
            options.content_type,
            length=options.content_length,
            max_bytes=self._max_upload_bytes,
        )
        return form, Peek(form.model, form.stream)


class Reading:
    """One request while it is parsed."""

    __slots__ = ("_call", "_intake", "_record", "_request")

    def __init__(self, intake: Intake, request: Request, record: CallRecord) -> None:
        self._intake = intake
        self._request = request
        self._record = record

    async def __aenter__(self) -> Call:
        intake, request = self._intake, self._request
        options = RequestOptions(request.headers)
        summary = self._record.request
        summary.id = options.request_id or intake.new_call_id()
        if options.explain:
            summary.explain = True
        route = route_of(request.path, request.method)
        if route is None:
            raise not_found(request)
        body: bytes | Form
        if isinstance(request.body, bytes):
            body, found = intake.look_into(request.body, options)
        else:
            body, found = await intake.read_form(request.body, options)
            self._record.waited_s += monotonic() - request.received_at
        if intake.read_labels is not None:
            intake.read_labels(summary, options.named, found.labels)
        total_s = min(intake.total_s, options.total_s)
        reads_state = route.operation.dialect.reads_stored_state
        call = self._call = Call(
            id=summary.id,
            method=request.method,
            route=route,
            query=request.query,
            headers=request.headers,
            body=body,
            model=route.model or found.model or _model_in(request.query),
            model_in_body=found.model,
            stream=found.stream,
            replay=Replay.UNSAFE if reads_state and found.stateful else route.replay,
            bound_to_account=route.bound_to_account or (reads_state and found.bound_to_account),
            client=request.client,
            received_at=request.received_at,
            patience_s=options.patience_s,
            patience=Patience(
                request.received_at + min(total_s, options.begin_s), request.received_at + total_s
            ),
            ends_at=request.received_at + options.total_s,
            max_output_tokens=found.max_output_tokens,
            priority=options.priority,
            caller=summary.caller,
            thinks=found.thinks,
        )
        summary.operation, summary.model = route.path, call.model
        if found.stream:
            summary.stream = True
        return call

    async def __aexit__(self, *_: object) -> None:
        body = self._call.body
        if not isinstance(body, bytes):
            body.close()


def _model_in(query: bytes) -> str | None:
    if query.find(b"model=") < 0:
        return None
    values = parse_qs(query.decode("latin-1")).get("model")
    return values[0] if values else None


def not_found(request: Request) -> ClientError:
    """Return the error for a path outside the API."""
    path = request.path.decode("latin-1")
    return ClientError(f"Invalid URL ({request.method} {path})", status=404, code="unknown_url")
