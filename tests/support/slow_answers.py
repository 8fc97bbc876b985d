"""Slow answers, unary and streamed, for tests of identical calls that arrive meanwhile."""

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


def slow(answer, *, after_s=0.2):
    """Return a vendor that pauses before its answer."""
    return always(after_s, answer)
