"""Has the config file read again: at a SIGHUP, and after a change of the file.

The file is checked once a second. `stat` follows links, so a link that now leads to another file is
a change, as in Kubernetes' ConfigMaps. So is a new file in the place of the old one.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from llmproxy.batteries.background import background
from llmproxy.batteries.file_stamps import stamp_of
from llmproxy.batteries.reload.reloader import Reloader

LOOK_S = 1.0
QUIET_S = 0.15  # a program that writes the file in pieces has this long to finish


@asynccontextmanager
async def on_signal_or_file_change(reloader: Reloader) -> AsyncIterator[None]:
    """Reload the config at a SIGHUP or a change of its file, until the block ends.

    SIGHUP may be blocked before the block, so that none ends the process. After it, it is blocked.
    """
    hangups = asyncio.Event()

    async def reload_on_signal() -> None:
        while True:
            await hangups.wait()
            hangups.clear()
            await reloader.reload_unless_just_done()

    with _hangups_set(hangups):
        async with background(reload_on_signal), on_file_change(reloader):
            yield


@asynccontextmanager
async def on_file_change(reloader: Reloader) -> AsyncIterator[None]:
    """Reload the config after each change of its file, until the block ends.

    Does nothing with `reload_on_change: false`.
    """

    async def look() -> None:
        async for _ in changes_of(reloader.file.path):
            await reloader.reload_if_changed()

    async with background(*[look] if reloader.reload_on_change else []):
        yield


async def changes_of(path: Path, *, look_s: float = LOOK_S) -> AsyncIterator[None]:
    """Yield at once, and whenever a file may have changed. Never ends by itself."""
    before: object = None
    changed = True
    while True:
        stamp = await asyncio.to_thread(stamp_of, path)
        # Yield again after a change: a second one within a tick of the clock has the same stamp.
        if changed or stamp != before:
            changed = stamp != before
            if changed and before is not None:
                await asyncio.sleep(QUIET_S)
            before = stamp
            yield
        await asyncio.sleep(look_s)


@contextmanager
def _hangups_set(hangups: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, hangups.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
    try:
        yield
    finally:
        # Blocked, because the default would end the process before the log has its last lines.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
        loop.remove_signal_handler(signal.SIGHUP)
