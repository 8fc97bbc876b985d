"""What a response's headers say of its body, read in one pass."""

from __future__ import annotations

from llmproxy.streams import Content, Headers

TELLING_HEADERS = frozenset(
    (
        b"content-type",
        b"content-length",
        b"content-encoding",
        b"transfer-encoding",
        b"x-request-id",
    )
)


def content_of(headers: Headers) -> Content:
    """Read it. Raises ValueError for a transfer coding that we would have to undo."""
    kind = encoding = b""
    length: int | None = None
    request_id: bytes | None = None
    chunked = False
    for name, value in headers:
        if name not in TELLING_HEADERS:
            continue
        if name == b"content-type":
            kind = value.lower()
        elif name == b"content-length":
            length = int(value)
        elif name == b"content-encoding":
            encoding = b"" if value.lower() == b"identity" else value
        elif name == b"x-request-id":
            request_id = value
        elif value.lower() != b"chunked":
            raise ValueError(f"unsupported transfer-encoding {value!r}")
        else:
            chunked = True
    return Content(
        not kind or kind.startswith(b"application/json"),
        not encoding and kind.startswith(b"text/event-stream"),
        encoding,
        length,
        chunked or length is not None,
        request_id,
    )
