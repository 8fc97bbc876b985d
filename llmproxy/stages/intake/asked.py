"""What the headers of a request say to us, read in one pass."""

from __future__ import annotations

from llmproxy.calls import Headers
from llmproxy.errors import ClientError

MAX_ID_BYTES = 128
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


class Asked:
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
