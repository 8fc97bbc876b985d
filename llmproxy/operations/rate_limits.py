"""Rate limits: what headers say of them."""

from __future__ import annotations

import msgspec

# With more than this part of a limit left, how it refills does not matter.
FAR_FROM_LIMIT = 0.5


class RateLimit(msgspec.Struct, frozen=True, gc=False):
    """One limit, as a vendor reports it to us, or we to a caller.

    `reset_s`: seconds until all of it is available again; None = not reported.
    """

    limit: float
    remaining: float
    reset_s: float | None


class RateLimits(msgspec.Struct, frozen=True, gc=False):
    """The limits in the headers of an answer; None = not reported."""

    requests: RateLimit | None = None
    tokens: RateLimit | None = None
