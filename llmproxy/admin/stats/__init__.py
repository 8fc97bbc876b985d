"""Statistics behind the admin API: counters, gauges, history, and the state of every endpoint."""

from __future__ import annotations

from math import isinf


def ms(seconds: float) -> float:
    """Milliseconds, to a microsecond."""
    return round(seconds * 1000, 3)


def in_ms(seconds: float | None) -> float | None:
    """The same; null stays null."""
    return None if seconds is None else ms(seconds)


def finite(seconds: float) -> float | None:
    """Seconds, to a millisecond; null for what never ends by itself."""
    return None if isinf(seconds) else round(seconds, 3)
