"""Run an async test with a time limit, and number the reruns of a test."""

import asyncio
import functools

import uvloop

from tests.support.client import close_all


def bounded(seconds=120):
    """Make an async test one that pytest runs, in a uvloop of its own; it fails if it hangs.

    `seconds` are for a machine many times slower than ours: nothing is measured by them.
    """

    def decorate(test):
        @functools.wraps(test)
        def run(*args, **kwargs):
            async def limited():
                try:
                    async with asyncio.timeout(seconds):
                        await test(*args, **kwargs)
                finally:
                    await close_all()

            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(limited())

        return run

    return decorate


def run_number(request):
    """Return the number of this run of a test, from 1 on: a rerun gets fresh shared fixtures."""
    return getattr(request.node, "execution_count", 1)
