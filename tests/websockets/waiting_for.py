"""Waiting for what a proxy does a moment later."""

from tests.support.waiting import until


async def finished(proxy, count=1):
    """Return the records of the calls that are over, once they are so many."""
    await until(lambda: len(proxy.events.calls) >= count)
    return [event.record for event in proxy.events.calls]
