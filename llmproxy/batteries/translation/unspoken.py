"""Recognises the answers of servers that do not speak a call's dialect.

A server that is not recognised is asked in the client's dialect. If it says that it has no such
path, the call is translated and sent to it again; later calls are translated at once.

Sources: docs/project/upstreams.md, "What endpoints speak".
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from llmproxy.batteries.changed_answers import HeldAnswer
from llmproxy.errors import Answer, Untranslatable
from llmproxy.providers.error_responses import readable_body
from llmproxy.streams import UpstreamResponse

DOUBTFUL = (404, 405, 501)
_NO_SUCH_METHOD = (405, 501)
# Also the status for a model or an item that does not exist; then the error names it.
_NOT_FOUND = 404
_NO_SUCH_PATH = re.compile(
    r"^[^'\"`]{0,24}not found\W*$|(?:invalid|unknown|unexpected) (?:url|path|route|endpoint)"
    r"|cannot post|no (?:such )?route|no handler|unsupported path|/(?:messages|responses)\b",
    re.IGNORECASE,
)
_MEMBERS = ("message", "detail", "error", "msg")


class DoubtedAnswer(HeldAnswer):
    """An answer that may mean that there is no such path. `learn` is called if it does."""

    __slots__ = ("_learn",)

    def __init__(self, response: UpstreamResponse, learn: Callable[[], None]) -> None:
        super().__init__(response, response.headers, response.content)
        self._learn = learn

    def passed_on(self, body: bytes) -> bytes:
        """Return the answer as it came. Raises Untranslatable if there is no such path."""
        if says_no_such_path(Answer(self.status, self.headers, body)):
            self._learn()
            unspoken = Untranslatable("it does not speak the call's dialect")
            unspoken.again = True
            raise unspoken
        return body


def says_no_such_path(answer: Answer) -> bool:
    """Return whether an error says that the server does not know the path of the call."""
    if answer.status in _NO_SUCH_METHOD:
        return True
    if answer.status != _NOT_FOUND:
        return False
    body = readable_body(answer)
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b"model" not in body.lower()  # a page, or nothing at all
    message = _message_in(said)
    return message is None or _NO_SUCH_PATH.search(message) is not None


def _message_in(said: object) -> str | None:
    """Return the message of an error; None if it has none."""
    while isinstance(said, dict):
        said = next((said[name] for name in _MEMBERS if said.get(name)), None)
    return said if isinstance(said, str) else None
