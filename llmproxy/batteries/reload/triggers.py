"""When the config file is read again: at a SIGHUP, and when the file has changed.

The file is looked at once a second. `stat` follows links, so a link that is turned to another
file is noticed, too, as in Kubernetes' ConfigMaps; and so is a file that replaces the old one.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from llmproxy.batteries.background import background
from llmproxy.batteries.reload.reloader import Reloader

LOOK_S = 1.0
QUIET_S = 0.15  # a program that writes the file in pieces has this long to finish


@asynccontextmanager
async def on_signal_or_file_change(reloader: Reloader) -> AsyncIterator[None]:
    """Reload the config at a SIGHUP or a change of its file, until the block ends.

    A SIGHUP may be blocked before, so that none ends the process; afterwards it is.
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
    """Reload the config at a change of its file, unless it says otherwise, until the block ends."""

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
        # After a change once more: a second one may have come within one tick of the clock.
        if changed or stamp != before:
            changed = stamp != before
            if changed and before is not None:
                await asyncio.sleep(QUIET_S)
            before = stamp
            yield
        await asyncio.sleep(look_s)


def stamp_of(path: Path) -> tuple[int, ...] | None:
    """Return what changes with a file: its identity, time and size. None = it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


@contextmanager
def _hangups_set(hangups: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, hangups.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
    try:
        yield
    finally:
        # Not to its default: a SIGHUP in the last moment must not cost the log its last lines.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
        loop.remove_signal_handler(signal.SIGHUP)
