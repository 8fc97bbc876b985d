"""Multipart uploads: read until the model is known, then forwarded while the rest arrives.

Everything read is kept, up to 1 MiB in memory and beyond that in a temporary file, so an upload can
be sent again to another endpoint without the client sending it again.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from tempfile import SpooledTemporaryFile, gettempdir

from llmproxy.batteries.uploads.multipart import FormScanner, model_part
from llmproxy.errors import ClientError, OutOfResources
from llmproxy.protocols import BodyReader, Form, Upload

MAX_IN_MEMORY_BYTES = 1024 * 1024
PIECE_BYTES = 64 * 1024
RETRY_AFTER_S = 30.0  # other uploads may have ended by then

logger = logging.getLogger("llmproxy")


async def read_form(
    reader: BodyReader, content_type: bytes, *, length: int | None, max_bytes: int | None
) -> Form:
    """Read a form until its model is known, or to its end without one. Implements `ReadForm`."""
    form = SpooledForm(reader, content_type, length=length, max_bytes=max_bytes)
    try:
        await form.read_model()
    except BaseException:
        form.close()
        raise
    return form


class SpooledForm:
    """One upload. Its call owns and closes it. Implements `Form`."""

    def __init__(
        self,
        reader: BodyReader,
        content_type: bytes,
        *,
        length: int | None,
        max_bytes: int | None,
    ) -> None:
        if max_bytes is not None and length is not None and length > max_bytes:
            raise _too_large(max_bytes)
        self._reader = reader
        self._scanner = FormScanner(content_type)
        self._spool = SpooledTemporaryFile(max_size=MAX_IN_MEMORY_BYTES)  # noqa: SIM115 - closed by close()
        self._spooled = 0
        self._complete = False
        self._max_bytes = max_bytes
        self.length = length

    @property
    def model(self) -> str | None:
        """The form's `model` field; None until it is read."""
        return self._scanner.model

    @property
    def stream(self) -> bool:
        """Whether the form asks for a stream (if that field comes before the model's)."""
        return self._scanner.stream

    async def read_model(self) -> None:
        """Read until the model is known, or to the end of a form without one."""
        while self._scanner.model is None and await self._read_more():
            pass

    async def _read_more(self) -> bytes:
        chunk = await self._reader.read()
        if not chunk:
            self._complete = True
            return chunk
        if self._scanner.model is None:
            self._scanner.feed(chunk)
        with _temporary_file():
            self._spool.seek(self._spooled)
            self._spool.write(chunk)
        self._spooled += len(chunk)
        if self._max_bytes is not None and self._spooled > self._max_bytes:
            raise _too_large(self._max_bytes)
        return chunk

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it came, from its first byte."""
        async for piece in self.pieces(0, None):
            yield piece

    async def pieces(self, start: int, end: int | None) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` to `end` (None: to the end of the upload)."""
        at = start
        while end is None or at < end:
            if at < self._spooled:
                wanted = PIECE_BYTES if end is None else min(PIECE_BYTES, end - at)
                with _temporary_file():
                    self._spool.seek(at)
                    piece = self._spool.read(wanted)
                at += len(piece)
                yield piece
            elif self._complete or not await self._read_more():
                return

    def renamed(self, model: str) -> Upload:
        """Return the same form with another model name."""
        span = self._scanner.model_span
        if span is None:
            at = self._scanner.first_part_at or 0
            return _Renamed(self, (at, at), model_part(self._scanner.boundary, model))
        return _Renamed(self, span, model.encode("utf-8"))

    def close(self) -> None:
        """Free the temporary file."""
        with suppress(OSError):  # what could not be written is not needed any more
            self._spool.close()


@contextmanager
def _temporary_file() -> Iterator[None]:
    """Raise OutOfResources (507) where the temporary folder has no room, or cannot be used."""
    try:
        yield
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        try:
            folder = gettempdir()
        except OSError:
            folder = "TMPDIR, /tmp, /var/tmp"
        logger.error(
            "An upload cannot be kept in the temporary folder (%s): %s. Make room there, or set "
            "TMPDIR to a folder that has some.",
            folder,
            why,
        )
        failure = OutOfResources(
            f"The proxy has no room for this upload: {why}.", retry_after_s=RETRY_AFTER_S
        )
        failure.status, failure.code = 507, "proxy_no_space"
        raise failure from error


def _too_large(max_bytes: int) -> ClientError:
    return ClientError(
        f"The upload is larger than {max_bytes} bytes, the limit of this proxy "
        "(general_settings.max_upload_bytes).",
        status=413,
        code="request_too_large",
    )


class _Renamed:
    """A form with the bytes of one span replaced."""

    def __init__(self, form: SpooledForm, span: tuple[int, int], replacement: bytes) -> None:
        self._form = form
        self._span = span
        self._replacement = replacement

    @property
    def length(self) -> int | None:
        """Bytes in all, if the client announced it."""
        start, end = self._span
        if self._form.length is None:
            return None
        return self._form.length + len(self._replacement) - (end - start)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body with the replacement in place."""
        start, end = self._span
        async for piece in self._form.pieces(0, start):
            yield piece
        yield self._replacement
        async for piece in self._form.pieces(end, None):
            yield piece

    def renamed(self, model: str) -> Upload:
        """Return the same form with another model name."""
        return self._form.renamed(model)
