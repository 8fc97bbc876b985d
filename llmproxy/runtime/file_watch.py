"""Tells when a file may say something else: it was written, replaced by another one, or one of the
links on the way to it was.

The folders on the way are watched, not the file: editors and Kubernetes' ConfigMaps put a new one
in its place, and a watch would stay with the old one. Whoever is told looks at the file itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from pathlib import Path

from watchfiles import Change, awatch

# Quiet for so long, then it is told; told after so long, quiet or not.
QUIET_MS, LONGEST_MS = 150, 1_000
# Where nothing happens for so long, it is told all the same: some file systems tell nothing (NFS).
ANYWAY_MS = 5_000
RETRY_S = 1.0  # it cannot be watched now: a folder on the way is gone. Then it is told so often
MAX_LINKS = 40  # as Linux counts before it gives up

# It tells each change at INFO, and nobody asked for that.
logging.getLogger("watchfiles").setLevel(logging.WARNING)


async def changes_of(path: Path) -> AsyncGenerator[None, None]:
    """One item at once, and one whenever the file may have changed. Ends only with its consumer."""
    while True:
        spots = spots_of(path)
        folders = {spot.parent for spot in spots}
        changes = _changes_of(spots | folders, folders)
        coming = asyncio.ensure_future(anext(changes))
        try:
            await asyncio.sleep(0)  # from here on it is watched, and nothing is missed
            while spots_of(path) == spots:  # else the way is another one
                yield
                await asyncio.wait([coming])
                if any(Path(changed) in folders for _, changed in coming.result()):
                    break  # what is there now may be another folder
                coming = asyncio.ensure_future(anext(changes))
        except (OSError, RuntimeError):  # no folder; no more watches to be had (inotify's limits)
            await asyncio.sleep(RETRY_S)
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
            await changes.aclose()


def _changes_of(
    wanted: frozenset[Path], folders: set[Path]
) -> AsyncGenerator[set[tuple[Change, str]], None]:
    return awatch(
        *folders,
        watch_filter=lambda _change, changed: Path(changed) in wanted,
        debounce=LONGEST_MS,
        step=QUIET_MS,
        rust_timeout=ANYWAY_MS,
        yield_on_timeout=True,
        recursive=False,
    )


def spots_of(path: Path) -> frozenset[Path]:
    """The names on the way to a file that may come to mean another one: each link, and the file."""
    spots: set[Path] = set()
    parts = list(reversed(path.absolute().parts))
    here = Path(parts.pop())
    links = 0
    while parts and links < MAX_LINKS:
        part = parts.pop()
        if part == "..":
            here = here.parent
            continue
        spot = here / part
        try:
            target = spot.readlink()
        except OSError:  # no link, or not there
            here = spot
            continue
        links += 1
        spots.add(spot)
        if target.is_absolute():
            here = Path(target.anchor)
        parts += reversed(target.parts[1:] if target.is_absolute() else target.parts)
    return frozenset((*spots, here))
