"""Run an async test with a time limit: whatever hangs must fail. And tell a test's reruns apart."""

import asyncio
import functools

import uvloop


def bounded(seconds=20):
    """Turn an async test into one that pytest runs, in a uvloop of its own."""

    def decorate(test):
        @functools.wraps(test)
        def run(*args, **kwargs):
            async def limited():
                async with asyncio.timeout(seconds):
                    await test(*args, **kwargs)

            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(limited())

        return run

    return decorate


def look_of(request):
    """Which run of its test this is, from 1 on: what tests share is made anew for a rerun."""
    return getattr(request.node, "execution_count", 1)
