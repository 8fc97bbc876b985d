"""Run an async test with a time limit: whatever hangs must fail."""

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
