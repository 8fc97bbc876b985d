"""The place of a call in a trace, from its headers (W3C Trace Context).

`traceparent` names the trace and the sender's span; `tracestate` belongs to its writers and is
never changed. An invalid `traceparent` counts as absent, and a `tracestate` without a valid one is
ignored (https://www.w3.org/TR/trace-context/, sections 3.2, 3.3 and 4).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from llmproxy.calls import Headers, TraceContext

# A higher version may have more after another dash; only the known part is read.
_PARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
SAMPLED = 0x01  # the flag that says that the spans are recorded
# Level 2 of the recommendation: the trace id is random, so other processes may sample by it.
RANDOM = 0x02
_RANDOM_BITS = 56  # at the end of a trace id, by level 2
# A member of `tracestate`: a vendor's key, which may name its tenant, and its value.
_MEMBER = re.compile(
    r"([a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=[ -+\--<>-~]{0,255}[!-+\--<>-~]"
)
_MAX_MEMBERS = 32


def trace_of(
    headers: Headers, *, ratio: float, draw_bits: Callable[[int], int]
) -> TraceContext | None:
    """Return the trace that a call belongs to: its client's, or a new one.

    The client's flag decides whether spans are recorded; without one, a share of `ratio` is. None:
    the client's flag says no, so its headers pass unchanged. `draw_bits(n)` returns n random bits.
    """
    state: list[bytes] = []
    parents: list[bytes] = []
    for name, value in headers:
        if name == b"traceparent":
            parents.append(value)
        elif name == b"tracestate":
            state.append(value)
    # 63 bits leave room for the spans of attempts, whose ids count up from this one.
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


def valid_state(state: str) -> str:
    """Return a client's `tracestate` without spaces around its members; "" if it is invalid."""
    if not state:
        return ""
    members = [member for part in state.split(",") if (member := part.strip(" \t"))]
    found = [_MEMBER.fullmatch(member) for member in members]
    keys = {match[1] for match in found if match}
    return ",".join(members) if len(keys) == len(members) <= _MAX_MEMBERS else ""


def _parsed(value: bytes) -> tuple[str, int, int] | None:
    """Return trace id, span id and the known flags; None if the header is invalid."""
    found = _PARENT.fullmatch(value)
    if found is None or (found[1] == b"00" and found[5] is not None):
        return None
    span_id = int(found[3], 16)
    if not int(found[2], 16) or not span_id:
        return None
    return found[2].decode("ascii"), span_id, int(found[4], 16) & (SAMPLED | RANDOM)
