"""Which endpoint served a conversation last: the memory of one group in one process."""

from __future__ import annotations

import msgspec

from llmproxy.routing import EndpointState

MAX_CONVERSATIONS = 10_000
# More calls of one conversation than that in a minute are no conversation: many have the same
# beginning. (OpenAI serves about 15 calls a minute of one prefix from one machine.)
BUSY_CALLS, BUSY_S = 30, 60.0


class Served(msgspec.Struct):
    """Where a conversation was served last, and when. `calls`: since `counted_since`."""

    state: EndpointState
    at: float
    calls: int
    counted_since: float

    def is_busy(self, now: float) -> bool:
        """Return whether it has more calls than the turns of one conversation."""
        return self.calls > BUSY_CALLS and now - self.counted_since < BUSY_S


class Memory:
    """The conversations that were served lately, the oldest first. Mutable.

    `kept_s`: how long after its last call an endpoint may still have a prompt cached.
    """

    __slots__ = ("_served", "kept_s")

    def __init__(self) -> None:
        self.kept_s = 0.0
        self._served: dict[bytes, Served] = {}

    def __len__(self) -> int:
        return len(self._served)

    def find(self, key: bytes, now: float) -> Served | None:
        """Return where a conversation was served last; None if that is unknown or long ago."""
        served = self._served.get(key)
        return None if served is None or now - served.at > self.kept_s else served

    def note(self, key: bytes, state: EndpointState, now: float) -> None:
        """Note which endpoint has accepted a call of a conversation."""
        served = self._served.pop(key, None)
        if served is None:
            served = Served(state, now, 0, now)
            if len(self._served) >= MAX_CONVERSATIONS:
                del self._served[next(iter(self._served))]
        elif now - served.counted_since >= BUSY_S:
            served.calls, served.counted_since = 0, now
        served.state, served.at = state, now
        served.calls += 1
        self._served[key] = served
