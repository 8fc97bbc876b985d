"""A multipart form, scanned as it arrives: which `model` it names, where, and whether it streams.

Only a part's headers and the two small fields are held, so uploads of any size pass through. The
bytes are never changed here; the scanner reports the value's offsets in the whole body, so that it
can be replaced. (python-multipart reports offsets per chunk only, not for a value that spans two.)
Format: RFC 7578 and RFC 2046, section 5.1.1.
"""

from __future__ import annotations

import re

from llmproxy.errors import ClientError

MAX_BOUNDARY_BYTES = 256  # RFC 2046 allows 70; a longer one is harmless
MAX_HEADER_BYTES = 16_384  # of one part
MAX_VALUE_BYTES = 1_024  # of `model` and `stream`
MAX_PADDING_BYTES = 256  # white space after a boundary

_WANTED = (b"model", b"stream")
_TRUE = frozenset((b"true", b"1", b"yes", b"on"))
_PADDING = b" \t"
_PARAMETER = re.compile(
    rb';[ \t]*([^\s=;"]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*+)"|([^;]*))', re.DOTALL
)
_FOLD = re.compile(rb"\r\n[ \t]+")
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


class FormScanner:
    """Scans one form. `feed` it every chunk, in order, once.

    Raises ClientError (400) for an unusable boundary, a part's headers or a wanted value that is
    too long, and a wanted field given twice (two readers could take different ones). An incomplete
    form is not an error here: `finished` stays False.
    """

    def __init__(self, content_type: bytes) -> None:
        self.boundary = boundary_of(content_type)
        self._delimiter = b"\r\n--" + self.boundary
        # The first delimiter may be at the very start. A CRLF put before it makes it like all
        # others; offsets count from the body's true start.
        self._buffer = b"\r\n"
        self._offset = -2
        self._keep_from = 0  # everything before it in the buffer has been read
        self._in_headers = False
        self._field: bytes | None = None  # the wanted field whose value is being read
        self._values: dict[bytes, tuple[bytes, int]] = {}
        self._first_part_at: int | None = None
        self._finished = False

    @property
    def model(self) -> str | None:
        """The form's `model`; None until it has been seen."""
        value = self._values.get(b"model")
        return None if value is None else value[0].decode("utf-8")

    @property
    def model_span(self) -> tuple[int, int] | None:
        """Offsets [start, end) of the model's bytes in the whole body."""
        value = self._values.get(b"model")
        return None if value is None else (value[1], value[1] + len(value[0]))

    @property
    def stream(self) -> bool:
        """Whether `stream` is present and true."""
        value = self._values.get(b"stream")
        return value is not None and value[0].strip().lower() in _TRUE

    @property
    def first_part_at(self) -> int | None:
        """Offset of the first boundary line, where `model_part` may be inserted."""
        return self._first_part_at

    @property
    def finished(self) -> bool:
        """The closing boundary has been seen; what follows is ignored."""
        return self._finished

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        if self._finished:
            return
        self._buffer += chunk
        at: int | None = 0
        while at is not None and not self._finished:
            self._keep_from = at
            at = self._past_headers(at) if self._in_headers else self._past_content(at)
        self._offset += self._keep_from
        self._buffer = b"" if self._finished else self._buffer[self._keep_from :]

    def _past_headers(self, at: int) -> int | None:
        """Go from the end of a boundary line to the content; None if more bytes are needed."""
        end = self._buffer.find(b"\r\n\r\n", at)
        if (len(self._buffer) if end < 0 else end) - at > MAX_HEADER_BYTES:
            raise ClientError(
                f"A part of the form has more than {MAX_HEADER_BYTES} bytes of headers.",
                code="invalid_multipart",
            )
        if end < 0:
            return None
        self._in_headers = False
        self._field = _wanted_field(self._buffer[at + 2 : end])
        if self._field in self._values:
            name = self._field.decode()
            raise ClientError(
                f"The form has more than one field '{name}'; send exactly one.",
                param=name,
                code="invalid_multipart",
            )
        return end + 2  # the empty line's CRLF may belong to the next delimiter

    def _past_content(self, at: int) -> int | None:
        """Go from the CRLF before a part's content to the one that ends the next boundary line."""
        found = at - 1
        while True:
            found = self._buffer.find(self._delimiter, found + 1)
            if found < 0:
                if self._field is None:  # keep only what may begin a delimiter
                    self._keep_from = max(at, len(self._buffer) - len(self._delimiter) + 1)
                elif len(self._buffer) - at > MAX_VALUE_BYTES + len(self._delimiter):
                    raise _too_long(self._field)
                return None
            line_end = self._boundary_line_end(found + len(self._delimiter))
            if line_end is None:
                if self._field is None:
                    self._keep_from = found
                return None
            if line_end >= 0:
                break
        if self._first_part_at is None:
            self._first_part_at = self._offset + found + 2
        if self._field is not None and found > at:
            self._take(self._field, at + 2, found)
        self._in_headers = True
        self._field = None
        return line_end

    def _boundary_line_end(self, at: int) -> int | None:
        """Return where the line of the boundary that ends at `at` ends.

        None: more bytes are needed. -1: not a boundary, only bytes that look like one.
        """
        rest = self._buffer[at : at + MAX_PADDING_BYTES]
        if rest.startswith(b"--"):
            self._finished = True
            return at
        line_end = rest.lstrip(_PADDING)
        if line_end.startswith(b"\r\n"):
            return at + len(rest) - len(line_end)
        if rest == b"-" or (line_end in (b"", b"\r") and len(rest) < MAX_PADDING_BYTES):
            return None
        return -1

    def _take(self, field: bytes, start: int, end: int) -> None:
        if end - start > MAX_VALUE_BYTES:
            raise _too_long(field)
        value = self._buffer[start:end]
        try:
            value.decode("utf-8")
        except UnicodeDecodeError as error:
            name = field.decode()
            raise ClientError(
                f"The form's field '{name}' is not valid UTF-8.",
                param=name,
                code="invalid_multipart",
            ) from error
        self._values[field] = (value, self._offset + start)


def boundary_of(content_type: bytes) -> bytes:
    """Return the boundary of a multipart content-type. Raises ClientError if it is unusable."""
    if not content_type.strip().lower().startswith(b"multipart/"):
        found = content_type.decode("latin-1")
        raise ClientError(f"Expected a multipart content-type, found '{found}'.")
    boundary = _parameters(content_type).get(b"boundary", b"").rstrip()
    if not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
        raise ClientError(
            f"The content-type of a form must name a boundary of 1 to {MAX_BOUNDARY_BYTES} bytes; "
            f"found {len(boundary)}. Let your HTTP library encode the form: it sets the boundary.",
            code="invalid_multipart",
        )
    return boundary


def model_part(boundary: bytes, model: str) -> bytes:
    """Return a part that names the model, to be inserted at `FormScanner.first_part_at`."""
    value = model.encode("utf-8")
    if b"\r\n--" + boundary in b"\r\n" + value:
        raise ClientError("The model's name contains the form's boundary.", param="model")
    return (
        b"".join(
            (b"--", boundary, b'\r\nContent-Disposition: form-data; name="model"\r\n\r\n', value)
        )
        + b"\r\n"
    )


def _wanted_field(headers: bytes) -> bytes | None:
    """Return the part's name if it is a wanted field and not a file."""
    for line in _FOLD.sub(b" ", headers).split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-disposition":
            parameters = _parameters(value)
            if any(key.startswith(b"filename") for key in parameters):
                return None
            field = parameters.get(b"name")
            return field if field in _WANTED else None
    return None


def _parameters(value: bytes) -> dict[bytes, bytes]:
    """Return a header's parameters by lower-case name; of duplicates the first counts."""
    parameters: dict[bytes, bytes] = {}
    for name, quoted, plain in _PARAMETER.findall(value):
        text = plain.strip() if plain else _ESCAPED.sub(rb"\1", quoted)
        parameters.setdefault(name.lower(), text)
    return parameters


def _too_long(field: bytes) -> ClientError:
    name = field.decode()
    return ClientError(
        f"The form's field '{name}' is longer than {MAX_VALUE_BYTES} bytes.",
        param=name,
        code="invalid_multipart",
    )
