"""Clients in place of the call's client: one learns the ids in an answer, one keeps the answer.

Learning costs one search of a whole JSON answer, and one of each event that may hold an id. The
bytes pass unchanged.
"""

from __future__ import annotations

from collections.abc import Callable

from llmproxy.batteries.client_in_front import ClientInFront
from llmproxy.calls import Headers
from llmproxy.protocols import Client
from llmproxy.rules.encoding import readable

MAX_LEARNED_BYTES = 8 * 1024 * 1024  # of a JSON answer: a list of ten thousand files
# Events of a stream after the first that may tell of something: the items of a response, what a
# message's thinking is signed with, the container that it ran code in.
TELLING = (
    b"output_item.done",
    b"response.completed",
    b"signature_delta",
    b"redacted_thinking",
    b'"container"',
    b'"file_id"',
)

Learn = Callable[[bytes], None]


class LearningClient(ClientInFront):
    """A Client that shows a copy of what it passes on to `learn`, if it is a success in JSON or a
    stream. `located`: called with the `location` header of an answer that has one.

    `begun`: the answer has begun, so no other one may follow.
    """

    __slots__ = (
        "_encoding",
        "_is_stream",
        "_learn",
        "_located",
        "_parts",
        "_size",
        "begun",
    )

    def __init__(self, client: Client, learn: Learn, located: Learn) -> None:
        super().__init__(client)
        self._learn = learn
        self._located = located
        self._parts: list[bytes] | None = None  # None: nothing is learned from this answer
        self._size = 0
        self._encoding = b""
        self._is_stream = False
        self.begun = False

    def start(self, status: int, headers: Headers, *, length: int | None) -> None:
        """Begin the answer."""
        self._client.start(status, headers, length=length)
        self.begun = True
        named = dict(headers)
        if status < 300:
            self._learn(b"")  # what the call names is there
            kind = named.get(b"content-type", b"")
            self._encoding = named.get(b"content-encoding", b"")
            self._is_stream = kind.startswith(b"text/event-stream") and not self._encoding
            if self._is_stream or (b"json" in kind and b"jsonl" not in kind):
                self._parts = []
            if location := named.get(b"location"):
                self._located(location)

    def write(self, chunk: bytes) -> bool:
        """Write the next bytes."""
        parts = self._parts
        if parts is not None:
            if not self._is_stream:
                self._size += len(chunk)
                if self._size <= MAX_LEARNED_BYTES:
                    parts.append(chunk)
            elif not parts or any(chunk.find(word) >= 0 for word in TELLING):
                if not parts:
                    parts.append(b"")
                self._learn(chunk)
        return self._client.write(chunk)

    def finish(self) -> None:
        """Learn from a whole answer before the client may have it."""
        if self._parts and not self._is_stream and self._size <= MAX_LEARNED_BYTES:
            body = b"".join(self._parts)
            if self._encoding:
                body = readable(body, self._encoding, max_bytes=MAX_LEARNED_BYTES) or b""
            self._learn(body)
        self._client.finish()


class CapturingClient(ClientInFront):
    """A Client that keeps the answer. `client`: whom it is for."""

    __slots__ = ("body", "status")

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.status = 0
        self.body = bytearray()

    @property
    def started(self) -> bool:
        """Whether the answer has begun."""
        return self.status > 0

    def start(self, status: int, headers: Headers, *, length: int | None) -> None:
        """Note the status."""
        del headers, length
        self.status = status

    def write(self, chunk: bytes) -> bool:
        """Keep the next bytes."""
        self.body += chunk
        return True

    async def drain(self) -> None:
        """Do nothing: what it keeps is bounded by what an account lists on one page."""

    def finish(self) -> None:
        """Do nothing: the call's end says that the answer is complete."""

    def abort(self) -> None:
        """Do nothing: the call's error says it."""
