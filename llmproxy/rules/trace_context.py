"""The headers by which a trace goes on from one process to the next (W3C Trace Context).

`traceparent` names the trace and the sender's span; `tracestate` belongs to whoever wrote it and is
never changed. A `traceparent` that is not valid counts as none, and a `tracestate` without a valid
one means nothing (https://www.w3.org/TR/trace-context/, sections 3.2, 3.3 and 4).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from llmproxy.calls import SAMPLED, Headers, TraceContext

# A higher version than ours may have more behind a further dash; it is read as far as it is known.
_PARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
# Level 2 of the recommendation: the trace id is random, so that others may sample by it.
RANDOM = 0x02
_RANDOM_BITS = 56  # so many at the end of a trace id, says level 2


def trace_of(
    headers: Headers, *, ratio: float, draw_bits: Callable[[int], int]
) -> TraceContext | None:
    """The trace that a call belongs to: its client's, or a new one.

    The client's own flag decides whether spans are recorded; without one, `ratio` of all calls are.
    None: the client says that they are not, so its headers may pass as they are. `draw_bits`: that
    many random bits.
    """
    state: list[bytes] = []
    parents: list[bytes] = []
    for name, value in headers:
        if name == b"traceparent":
            parents.append(value)
        elif name == b"tracestate":
            state.append(value)
    # Room above it for the spans of attempts, which are counted from here.
    span_id = draw_bits(63) + 1
    known = _parsed(parents[0]) if len(parents) == 1 else None
    if known is None:
        drawn = draw_bits(128) or 1
        share = (drawn & ((1 << _RANDOM_BITS) - 1)) / (1 << _RANDOM_BITS)
        return TraceContext(
            f"{drawn:032x}", span_id, None, RANDOM | (SAMPLED if share < ratio else 0)
        )
    trace_id, parent_id, flags = known
    if not flags & SAMPLED:
        return None
    return TraceContext(trace_id, span_id, parent_id, flags, b",".join(state).decode("latin-1"))


def onward(headers: Headers, trace: TraceContext, attempt: int) -> Headers:
    """A call's headers as an attempt (from 1) sends them: its own span is the parent."""
    dropped = (b"traceparent",) if trace.parent_id is not None else (b"traceparent", b"tracestate")
    kept = [header for header in headers if header[0] not in dropped]
    parent = f"00-{trace.trace_id}-{trace.attempt_id(attempt):016x}-{trace.flags:02x}"
    kept.append((b"traceparent", parent.encode("ascii")))
    return kept


def _parsed(value: bytes) -> tuple[str, int, int] | None:
    """TraceContext id, span id and the flags that we know."""
    found = _PARENT.fullmatch(value)
    if found is None or (found[1] == b"00" and found[5] is not None):
        return None
    span_id = int(found[3], 16)
    if not int(found[2], 16) or not span_id:
        return None
    return found[2].decode("ascii"), span_id, int(found[4], 16) & (SAMPLED | RANDOM)
