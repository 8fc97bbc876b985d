"""Wait for a condition instead of for a time."""

import asyncio
from time import monotonic


async def until(condition, within_s=30.0):
    """Wait until a condition holds; fail if it does not hold in time."""
    ends_at = monotonic() + within_s
    while not condition():
        assert monotonic() < ends_at, "the condition did not hold in time"
        await asyncio.sleep(0.005)
