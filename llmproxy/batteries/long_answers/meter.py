"""A sink that keeps the first and the last bytes of a body that passes through it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from llmproxy.batteries.long_answers.decoding import Decode, UndecodableError, decoder_of
from llmproxy.batteries.long_answers.ends import usage_in_ends
from llmproxy.calls import Accepted
from llmproxy.operations import Replay, Usage
from llmproxy.record import CallRecord
from llmproxy.streams import Downstream, Sink

END_BYTES = 16 * 1024  # kept of both ends
MAX_END_BYTES = 4 * END_BYTES  # before the end is cut
# Of a compressed body; a longer one is not decoded any further, and its usage is unknown.
MAX_DECODED_BYTES = 256 * 1024 * 1024
IMAGE_KEY = b'"b64_json"'  # each image of an answer has one, if it is not an address


@contextmanager
def metered(accepted: Accepted, client: Downstream, record: CallRecord) -> Iterator[Sink]:
    """Yield a sink before the client's; note the usage that passed through it in the record."""
    decode = decoder_of(accepted.response.content.encoding) if _is_read(accepted) else None
    if decode is None:
        yield client
        return
    is_image = accepted.call.route.path.startswith("images/")
    ends = EndKeeper(client, decode, IMAGE_KEY if is_image else b"")
    try:
        yield ends
    finally:
        record.answer.usage = ends.usage()


def _is_read(accepted: Accepted) -> bool:
    """Return whether an answer is JSON of an operation that reports usage."""
    call = accepted.call
    operation = call.route.operation
    if call.method != "POST" or operation.replay is Replay.UNSAFE:  # it creates or shows something
        return False
    return operation.uses_tokens and accepted.response.content.json


class EndKeeper:
    """Passes a body on and keeps its two ends, decoded. Mutable; of one answer.

    `image_key`: a member of each image of the answer; empty: it has no images.
    """

    __slots__ = ("_beginning", "_client", "_decode", "_end", "_image_key", "_images", "_left")

    def __init__(self, client: Sink, decode: Decode, image_key: bytes = b"") -> None:
        self._image_key = image_key
        self._images = 0
        self._client = client
        self._decode: Decode | None = decode
        self._beginning = b""
        self._end = bytearray()
        self._left = MAX_DECODED_BYTES

    def write(self, chunk: bytes) -> bool:
        """Write body bytes. False means that the reader is behind."""
        if self._decode is not None:
            self._keep(self._decode, chunk)
        return self._client.write(chunk)

    async def drain(self) -> None:
        """Wait until the reader has caught up."""
        await self._client.drain()

    def usage(self) -> Usage | None:
        """Return the usage that the body has reported so far."""
        if self._decode is None:
            return None
        reported = usage_in_ends(self._beginning, bytes(self._end))
        return reported or (Usage(0, 0, images=self._images) if self._images else None)

    def _keep(self, decode: Decode, chunk: bytes) -> None:
        try:
            for piece in decode(chunk):
                self._left -= len(piece)
                if self._left < 0:
                    self._decode = None
                    return
                if len(self._beginning) < END_BYTES:
                    self._beginning += piece[: END_BYTES - len(self._beginning)]
                end = self._end
                if self._image_key:
                    self._count_images(piece)
                end += piece[-MAX_END_BYTES:]
                if len(end) > MAX_END_BYTES:
                    del end[:-END_BYTES]
        except UndecodableError:
            self._decode = None

    def _count_images(self, piece: bytes) -> None:
        key = self._image_key
        # A key may be cut in two by the end of the piece before.
        cut = bytes(self._end[1 - len(key) :]) + piece[: len(key) - 1]
        self._images += piece.count(key) + cut.count(key)
