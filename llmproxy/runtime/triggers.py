"""When the config file is read again: SIGHUP, and a change of the file."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from functools import partial

from llmproxy.aio.tasks import background
from llmproxy.runtime.live_config import LiveConfig


@asynccontextmanager
async def reload_triggers(live: LiveConfig) -> AsyncIterator[None]:
    """Read the file again whenever somebody wants it, until the block ends.

    Without a file a SIGHUP ends the process, as it does by default.
    """
    if live.file is None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
        yield
        return
    hangups = asyncio.Event()

    async def reload_on_signal() -> None:
        while True:
            await hangups.wait()
            hangups.clear()
            await live.reload_unless_just_done()

    jobs: list[Callable[[], Awaitable[None]]] = [reload_on_signal]
    if live.runtime.config.general_settings.reload_on_change:
        jobs.append(partial(reload_on_change, live))
    with _hearing(hangups):
        async with background(*jobs):
            yield


async def reload_on_change(live: LiveConfig) -> None:
    """The job that watches the file. Ends only when it is cancelled."""
    # Only who wants it pays for the import.
    from llmproxy.runtime.file_watch import changes_of  # noqa: PLC0415

    if live.file is None:
        return
    async with aclosing(changes_of(live.file.path)) as changes:
        async for _ in changes:
            await live.reload_if_changed()


def block_hangups() -> None:
    """A SIGHUP that comes now is kept until `reload_triggers` hears it: by default it would end the
    process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])


@contextmanager
def _hearing(hangups: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, hangups.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
    try:
        yield
    finally:
        # Not to its default: a hangup in the last moment must not cost the log its last lines.
        block_hangups()
        loop.remove_signal_handler(signal.SIGHUP)
