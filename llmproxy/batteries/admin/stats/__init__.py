"""Statistics: the counters and gauges of all workers, their history, and their form in the API.

This module rounds numbers for JSON, which every module of the package needs.
"""

from __future__ import annotations

from math import isinf


def ms(seconds: float) -> float:
    """Convert to milliseconds, rounded to a microsecond."""
    return round(seconds * 1000, 3)


def optional_ms(seconds: float | None) -> float | None:
    """Convert to milliseconds; None stays None."""
    return None if seconds is None else ms(seconds)


def finite(seconds: float) -> float | None:
    """Round to a millisecond; return None for infinity, which JSON cannot express."""
    return None if isinf(seconds) else round(seconds, 3)
