"""What changes with a file, for those who look at files now and then."""

from __future__ import annotations

from pathlib import Path


def stamp_of(path: Path | str) -> tuple[int, ...] | None:
    """Return a file's identity, time and size, following links. None = it is not there."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
