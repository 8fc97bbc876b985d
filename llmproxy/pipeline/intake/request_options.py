"""The options of a request, read from its headers in one pass."""

from __future__ import annotations

import re
from math import inf

from llmproxy.calls import Headers
from llmproxy.errors import ClientError

MAX_ID_BYTES = 128
_NOT_ASCII = re.compile(rb"[^\x20-\x7e]")
TIMEOUT_HEADER = b"x-llmproxy-timeout-s"
PRIORITY_HEADER = b"x-llmproxy-priority"
EXPLAIN_HEADER = b"x-llmproxy-explain"
MAX_PRIORITY = 100
# openai-node's `x-stainless-timeout` ends with the head of an answer, openai-python's read timeout
# begins anew with each byte.
READ_TIMEOUT_HEADER = b"x-stainless-read-timeout"
TIMEOUT_HEADERS = (TIMEOUT_HEADER, READ_TIMEOUT_HEADER, b"x-stainless-timeout")
OPTION_HEADERS = frozenset((b"x-request-id", PRIORITY_HEADER, EXPLAIN_HEADER, *TIMEOUT_HEADERS))


class RequestOptions:
    """What the headers ask of the proxy; of a header given twice, the last one counts."""

    __slots__ = (
        "begin_s",
        "content_encoding",
        "content_length",
        "content_type",
        "explain",
        "named",
        "patience_s",
        "priority",
        "request_id",
        "total_s",
    )

    def __init__(self, headers: Headers) -> None:
        self.named = named = dict(headers)
        self.content_type = named.get(b"content-type", b"")
        self.content_encoding = named.get(b"content-encoding", b"").lower()
        length = named.get(b"content-length")
        self.content_length = None if length is None else int(length)
        self.request_id = ""
        self.explain = False
        self.priority = 0  # a higher one is served first when calls wait
        self.total_s = inf  # for the whole call, from x-llmproxy-timeout-s
        self.begin_s = inf  # until the answer begins, from either timeout of the SDK
        self.patience_s = inf  # for each silence, from the SDK's read timeout
        if not OPTION_HEADERS.isdisjoint(named):
            self._read(named)

    def _read(self, named: dict[bytes, bytes]) -> None:
        """Read the headers of which most requests have none."""
        self.request_id = _readable_id(named.get(b"x-request-id", b"")[:MAX_ID_BYTES])
        self.explain = named.get(EXPLAIN_HEADER, b"") not in (b"", b"0", b"false")
        if PRIORITY_HEADER in named:
            self.priority = _priority(named[PRIORITY_HEADER])
        for name in TIMEOUT_HEADERS:
            if name in named:
                self._note_timeout(name, named[name])

    def _note_timeout(self, name: bytes, value: bytes) -> None:
        ours = name == TIMEOUT_HEADER
        try:
            seconds = float(value)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < inf:
            if ours:
                raise ClientError(f"{name.decode()} must be seconds above 0, found {value!r}.")
        elif ours:
            self.total_s = min(self.total_s, seconds)
        else:  # an SDK stops waiting at its timeout; our answer should arrive just before
            seconds -= min(1.0, seconds / 10)
            self.begin_s = min(self.begin_s, seconds)
            if name == READ_TIMEOUT_HEADER:
                self.patience_s = min(self.patience_s, seconds)


def _readable_id(value: bytes) -> str:
    """Return a client's id as logs may show it: terminals execute control characters."""
    return value.decode("latin-1") if value.isascii() else _NOT_ASCII.sub(b"?", value).decode()


def _priority(value: bytes) -> int:
    sign = -1 if value.startswith(b"-") else 1
    digits = value[1:] if sign < 0 else value
    if not digits.isdigit() or len(digits) > 3 or int(digits) > MAX_PRIORITY:
        raise ClientError(
            f"{PRIORITY_HEADER.decode()} must be a whole number from -{MAX_PRIORITY} to "
            f"{MAX_PRIORITY}, found {value!r}."
        )
    return sign * int(digits)
