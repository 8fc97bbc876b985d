"""Run servers in a thread with an event loop of its own, so that tests can use any client."""

import asyncio
import threading
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager

import uvloop


@contextmanager
def in_background(*contexts):
    """Enter async context managers in order, in a background loop; yield their values.

    `contexts` are functions that return one; each is called with the values of those before it.
    """
    ready, stop = Future(), None

    async def hold():
        nonlocal stop
        stop = asyncio.Event()
        values = []
        async with AsyncExitStack() as stack:
            for make in contexts:
                values.append(await stack.enter_async_context(make(*values)))
            ready.set_result((asyncio.get_running_loop(), values))
            await stop.wait()

    def run():
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(hold())
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    loop, values = ready.result(timeout=30)
    try:
        yield values[0] if len(values) == 1 else values
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=30)
        assert not thread.is_alive(), "a server in the background did not stop"
