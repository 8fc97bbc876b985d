"""A multipart form, scanned as it arrives: which `model` it names, where, and whether it streams.

Nothing is held but a part's headers and the two small fields, so uploads of any size pass through.
The bytes themselves are never changed here: the value's offsets in the whole body are told, so that
it can be spliced. (python-multipart does not tell offsets.) Format: RFC 7578 and RFC 2046, 5.1.1.
"""

from __future__ import annotations

import re

from llmproxy.errors import ClientError

MAX_BOUNDARY_BYTES = 256  # RFC 2046 says 70; a longer one does no harm
MAX_HEADER_BYTES = 16_384  # of one part
MAX_VALUE_BYTES = 1_024  # of `model` and `stream`
MAX_PADDING_BYTES = 256  # white space behind a boundary

_WANTED = (b"model", b"stream")
_TRUE = frozenset((b"true", b"1", b"yes", b"on"))
_PADDING = b" \t"
_PARAMETER = re.compile(
    rb';[ \t]*([^\s=;"]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*+)"|([^;]*))', re.DOTALL
)
_FOLD = re.compile(rb"\r\n[ \t]+")
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


class FormScanner:
    """Reads one form. Owns its few bytes of state; `feed` it every chunk, in order, once.

    Raises ClientError (400): no usable boundary, a part's headers or a wanted value too long, a
    wanted field given twice (two readers could take different ones). A form that breaks off is no
    error here: `finished` stays False.
    """

    def __init__(self, content_type: bytes) -> None:
        self.boundary = boundary_of(content_type)
        self._delimiter = b"\r\n--" + self.boundary
        # The first delimiter may stand at the very start: an imagined CRLF before it makes it
        # like all others. Offsets count from the body's true start.
        self._buffer = b"\r\n"
        self._offset = -2
        self._keep_from = 0  # what stands before it in the buffer is done with
        self._in_headers = False
        self._field: bytes | None = None  # the wanted field whose value is being read
        self._values: dict[bytes, tuple[bytes, int]] = {}
        self._first_part_at: int | None = None
        self._finished = False

    @property
    def model(self) -> str | None:
        """The form's `model`; None while it has not been seen."""
        value = self._values.get(b"model")
        return None if value is None else value[0].decode("utf-8")

    @property
    def model_span(self) -> tuple[int, int] | None:
        """[start, end) of the model's bytes, as offsets in the whole body."""
        value = self._values.get(b"model")
        return None if value is None else (value[1], value[1] + len(value[0]))

    @property
    def stream(self) -> bool:
        """Whether `stream` is there and true."""
        value = self._values.get(b"stream")
        return value is not None and value[0].strip().lower() in _TRUE

    @property
    def first_part_at(self) -> int | None:
        """Offset of the first boundary line: where `model_part` may be put in."""
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
        """From the CRLF that ends a boundary line to the part's content; None: more is needed."""
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
        return end + 2  # the empty line's CRLF may already belong to the next delimiter

    def _past_content(self, at: int) -> int | None:
        """From the CRLF before a part's content to the one that ends the next boundary line."""
        found = at - 1
        while True:
            found = self._buffer.find(self._delimiter, found + 1)
            if found < 0:
                if self._field is None:  # hold only what may be the beginning of a delimiter
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
        """Where the line of a boundary ends that was found just before `at`.

        None: more bytes are needed to tell; -1: no boundary, only bytes that look like one.
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
    """The boundary of a multipart content-type. Raises ClientError if there is none to use."""
    if not content_type.strip().lower().startswith(b"multipart/"):
        told = content_type.decode("latin-1")
        raise ClientError(f"A multipart content-type was expected, found '{told}'.")
    boundary = _parameters(content_type).get(b"boundary", b"").rstrip()
    if not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
        raise ClientError(
            f"The content-type of a form must name a boundary of 1 to {MAX_BOUNDARY_BYTES} bytes; "
            f"found {len(boundary)}. HTTP libraries set it when they are left to encode the form.",
            code="invalid_multipart",
        )
    return boundary


def model_part(boundary: bytes, model: str) -> bytes:
    """A part that names the model, to be put in at `FormScanner.first_part_at`."""
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
    """The part's name if it is a field that is wanted and no file."""
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
    """A header's parameters by lower-case name; of duplicates the first counts."""
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
