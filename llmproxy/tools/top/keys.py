"""Read keys one by one, without an echo.

What the terminal was like before is restored, however it ends. Where there are no such terminals
(Windows), or input comes from elsewhere, no key is heard; Ctrl+C works everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

try:
    import termios
    import tty
except ImportError:  # pragma: no cover - not a POSIX system
    termios = tty = None  # type: ignore[assignment]


@contextmanager
def keys_of(terminal: int, tell: Callable[[str], object]) -> Iterator[None]:
    """Report each key pressed at a terminal (a file descriptor), until the block ends."""
    if termios is None or not os.isatty(terminal):
        yield
        return
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        without_suspending = termios.tcgetattr(terminal)
        # Ctrl+Z would leave the shell in the alternate screen.
        without_suspending[6][termios.VSUSP] = b"\0"
        termios.tcsetattr(terminal, termios.TCSANOW, without_suspending)
        Thread(target=_read, args=(terminal, tell), daemon=True).start()
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)


def _read(terminal: int, tell: Callable[[str], object]) -> None:
    """Read to the end of the input. It blocks, so the thread ends with the process."""
    while True:
        try:
            key = os.read(terminal, 1)
        except OSError:
            return
        if not key:
            return
        tell(key.decode("latin-1"))
