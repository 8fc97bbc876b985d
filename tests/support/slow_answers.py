"""Slow answers, unary and streamed, for tests of identical calls that arrive meanwhile."""

import asyncio

from tests.support.cached import FIXED
from tests.support.vendor import (
    DONE,
    LAST_CHUNK,
    always,
    chunk,
    delta,
    sse_head,
)

FIXED_STREAM = {**FIXED, "stream": True}
WORDS = [f"word {number} " for number in range(30)]
EVENTS = [delta(role="assistant"), *map(delta, WORDS), delta(finish="stop"), DONE]
WHOLE = b"".join(EVENTS)


def slow_stream(*, pause_s=0.01, before_s=0.05, events=EVENTS):
    """Return a vendor that pauses before each event."""
    steps = [before_s, sse_head()]
    for event in events:
        steps += [chunk(event), pause_s]
    return always(*steps, LAST_CHUNK)


class OnRequest:
    """A vendor whose answers come when `go_on` is set."""

    def __init__(self, answer):
        self.go_on = asyncio.Event()
        self._answer = answer

    def __call__(self, received, _number):
        while not self.go_on.is_set():
            yield 0.01
        yield self._answer


def slow(answer, *, after_s=0.2):
    """Return a vendor that pauses before its answer."""
    return always(after_s, answer)
