"""Progress of long work: one line on the terminal, redrawn while the work goes on, then erased.

    with progress("Checking endpoints", total=len(endpoints)) as bar:
        for endpoint in endpoints:
            ...
            bar.advance()

Nothing is written where stderr is not a terminal, or where the work ends within half a second. The
line is drawn by a thread of its own, so `advance` is one addition, and the seconds go on while one
step takes long.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic
from typing import TextIO

SHOWN_AFTER_S = 0.5
REDRAWN_EVERY_S = 0.2
BAR_CELLS = 20
ERASE_LINE = "\r\x1b[K"


class Progress:
    """How far some work is. `total`: its number of steps; None = not known."""

    def __init__(self, what: str, total: int | None = None) -> None:
        self.what = what
        self.total = total
        self.done = 0

    def advance(self, steps: int = 1) -> None:
        """Count steps that are done."""
        self.done += steps

    def line(self, passed_s: float, width: int) -> str:
        """Return the line to show after `passed_s`, in at most `width` characters."""
        time = f"{passed_s:.0f} s"
        if not self.total:
            count = f"  {self.done:,}" if self.done else ""
            return f"{self.what} ...{count}  {time}"[:width]
        part = min(1.0, self.done / self.total)
        if self.done:
            # The first steps say little of the others.
            left_s = passed_s / part - passed_s
            time = f"{left_s:.0f} s left"
        filled = int(part * BAR_CELLS)
        bar = f"[{'#' * filled}{'.' * (BAR_CELLS - filled)}]"
        text = f"{self.what}  {bar} {part:4.0%}  {self.done:,} of {self.total:,}  {time}"
        return text if len(text) <= width else f"{self.what}  {part:.0%}  {time}"[:width]


@contextmanager
def progress(
    what: str,
    total: int | None = None,
    *,
    stream: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
    shown_after_s: float = SHOWN_AFTER_S,
) -> Iterator[Progress]:
    """Show the progress of the work inside; `what` names it, as in "Copying the database".

    `stream`: stderr by default.
    """
    stream = stream or sys.stderr
    work = Progress(what, total)
    if not stream.isatty() or environ.get("TERM") == "dumb":
        yield work
        return
    ended = Event()
    drawing = Thread(target=_draw, args=(work, stream, ended, shown_after_s), daemon=True)
    drawing.start()
    try:
        yield work
    finally:
        ended.set()
        drawing.join()


def _draw(work: Progress, stream: TextIO, ended: Event, shown_after_s: float) -> None:
    began_at = monotonic()
    if ended.wait(shown_after_s):
        return
    # A terminal that is gone must not end the work.
    with contextlib.suppress(OSError, ValueError):
        while True:
            # One column stays free: a full line would wrap at some terminals.
            width = shutil.get_terminal_size((80, 24)).columns - 1
            stream.write(ERASE_LINE + work.line(monotonic() - began_at, width))
            stream.flush()
            if ended.wait(REDRAWN_EVERY_S):
                break
        stream.write(ERASE_LINE)
        stream.flush()
