"""The beginning of a stream, up to the event that makes it the answer.

What comes before the first content says that the endpoint works: comments, and events that every
stream begins with (the preamble). Comments belong to no answer: a waiting client is shown them, and
another endpoint may still answer. The preamble is held for a while, because it would be wrong if
another endpoint answered; then it is passed on, and the stream is the answer.
"""

from __future__ import annotations

from math import inf

import msgspec

from llmproxy.calls import Accepted, Call
from llmproxy.operations import EventKind
from llmproxy.operations.dialects.base import PREAMBLE
from llmproxy.operations.sse import EVENT_END, is_comment, split_events
from llmproxy.streams import Mask, UpstreamResponse, unmasked

MAX_PREAMBLE_BYTES = 64 * 1024  # a longer preamble counts as content


class Holding(msgspec.Struct, frozen=True):
    """How long the beginning of a stream is held back, in seconds.

    While nothing has been sent, another status than 200 is possible: so comments wait a moment for
    an early failure, too. Blank lines before a JSON answer wait long: to pass them on commits, and
    a hedge may still answer. But node's fetch waits for a head for 300 s only.
    """

    comments_s: float = 0.5
    preamble_s: float = 5.0
    blanks_s: float = 240.0


HOLDING = Holding()


class StreamBeginning:
    """What has come of a stream and was not passed on.

    `held`: its bytes. `mask`: for what the client is shown. `look_at`: call `look` at this moment,
    of the clock of `now`.
    """

    __slots__ = (
        "_call",
        "_has_content",
        "_has_preamble",
        "_holding",
        "_mask",
        "_read",
        "held",
        "look_at",
    )
    _split = staticmethod(split_events)

    def __init__(self, call: Call, holding: Holding, mask: Mask = unmasked) -> None:
        self._mask = mask
        self._call = call
        self._holding = holding
        self._read = 0  # bytes of `held` in whole events
        self._has_content = False
        self._has_preamble = False
        self.held = bytearray()
        self.look_at = inf

    @property
    def rest(self) -> bytes:
        """What has come of an event that is not complete."""
        return bytes(self.held[self._read :])

    def add(self, chunk: bytes) -> list[bytes]:
        """Add bytes; return the events that are complete now. The end of one (up to four bytes) is
        looked for in the new bytes, so a long event in many pieces is read once."""
        seen = len(self.held) - 3
        self.held += chunk
        if seen > self._read and not EVENT_END.search(self.held, seen):
            return []
        events, rest = self._split(self.rest)
        self._read = len(self.held) - len(rest)
        return events

    def note(self, event: bytes, kind: EventKind, now: float) -> bool:
        """Note what an event is; True if it makes this stream the answer."""
        self._has_content = kind is not PREAMBLE
        if self._has_content or len(self.held) > MAX_PREAMBLE_BYTES:
            return True
        if self._has_preamble:
            return False
        if is_comment(event):
            self._look_by(now + self._holding.comments_s, now)
            return False
        self._has_preamble = True
        self._look_by(now + self._holding.preamble_s, now)
        return self._call.happens_once

    def accepted(self, endpoint: str, response: UpstreamResponse) -> Accepted:
        """Make this stream the answer."""
        content_by = 0.0 if self._has_content else self._call.deadline_at
        return Accepted(self._call, endpoint, response, bytes(self.held), self._mask, content_by)

    def look(self, now: float) -> bool:
        """Pass on what was held for long enough; True if this stream is the answer now."""
        if now < self.look_at:
            return False
        if self._has_preamble:
            return True
        comments = bytes(self.held[: self._read])  # no event is anything else
        del self.held[: self._read]
        self._read, self.look_at = 0, inf
        if (client := self._call.patience.client) is not None:
            client.show(self._mask(comments))
        return False

    def _look_by(self, moment: float, now: float) -> None:
        """Look at a moment, but well before the client's patience is over."""
        self.look_at = min(self.look_at, moment, now + (self._call.deadline_at - now) / 2)
