"""The live view: the alternate screen, redrawn at each update and once a second."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import time
from types import FrameType

from rich.console import Console, Group
from rich.live import Live

from llmproxy.tools.admin_client import ProxyAddress
from llmproxy.tools.top.frame import frame
from llmproxy.tools.top.listening import listen
from llmproxy.tools.top.look import Look, glyphs_for
from llmproxy.tools.top.view import Heard, Lost, Refused, View

try:
    import termios
    import tty
except ImportError:  # pragma: no cover - not a POSIX system
    termios = tty = None  # type: ignore[assignment]

REDRAW_S = 1.0
RESIZE_SEEN_WITHIN_S = 0.2
LEAVE = frozenset("qQ\x03")


def watch(
    address: ProxyAddress, group: str | None, console: Console
) -> str | Lost | Refused | None:
    """Show the proxy until the user quits (None), or until there are no more updates.

    Returns why it did not begin, or ended: the text for a group that is not there, Lost if there
    is no proxy, Refused if it does not tell.
    """
    heard: SimpleQueue[Heard | str] = SimpleQueue()
    stop = Event()

    def leave(_number: int, _frame: FrameType | None) -> None:
        heard.put("q")

    Thread(target=listen, args=(address, group, heard.put, stop), daemon=True).start()
    signal.signal(signal.SIGTERM, _leave)
    try:
        view, ended = _first_view(View(only=group), heard)
        if ended is not None:
            return ended
        # An exception amid drawing might leave the terminal half drawn.
        signal.signal(signal.SIGINT, leave)
        signal.signal(signal.SIGTERM, leave)
        with (
            Live(console=console, screen=True, auto_refresh=False) as live,
            keys_of(sys.stdin.fileno(), heard.put),
        ):
            return _show(view, heard, live)
    except KeyboardInterrupt:
        return None
    finally:
        stop.set()


def no_such_group(view: View) -> str | None:
    """Return the error if the proxy lacks the requested group."""
    if view.only is None or view.groups or view.state is None:
        return None
    names = ", ".join(group.group for group in view.state.groups) or "none"
    return f"There is no group {view.only!r}. There are: {names}."


def _leave(_number: int, _frame: FrameType | None) -> None:
    """On SIGTERM, quit and restore the terminal."""
    raise KeyboardInterrupt


def _first_view(
    view: View, heard: SimpleQueue[Heard | str]
) -> tuple[View, str | Lost | Refused | None]:
    """Wait for the first ShownProxy; return the view, and why there is no state."""
    while view.state is None:
        news = heard.get()
        if isinstance(news, Lost | Refused):
            return view, news
        if not isinstance(news, str):
            view = view.after(news, time())
    return view, no_such_group(view)


def _show(view: View, heard: SimpleQueue[Heard | str], live: Live) -> Refused | None:
    """Draw each update until the user quits, or the proxy refuses access."""
    look = Look(glyphs_for(live.console.encoding))
    drawn_at, drawn_size, changed = 0.0, live.console.size, True
    while True:
        now, size = time(), live.console.size
        if changed or size != drawn_size or now - drawn_at >= REDRAW_S or now < drawn_at:
            live.update(Group(*frame(view, now, (size.width, size.height), look)), refresh=True)
            drawn_at, drawn_size, changed = now, size, False
        try:
            news = heard.get(timeout=RESIZE_SEEN_WITHIN_S)
        except Empty:
            continue
        if isinstance(news, str):
            if news in LEAVE:
                return None
            continue
        if isinstance(news, Refused):
            return news
        view, changed = view.after(news, time()), True


@contextmanager
def keys_of(terminal: int, tell: Callable[[str], object]) -> Iterator[None]:
    """Report each key pressed at a terminal (a file descriptor), without an echo.

    At the end, the terminal is restored. Without a POSIX terminal no key is reported; Ctrl+C works
    everywhere.
    """
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
        Thread(target=_read_keys, args=(terminal, tell), daemon=True).start()
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)


def _read_keys(terminal: int, tell: Callable[[str], object]) -> None:
    """Read to the end of the input. It blocks, so the thread ends with the process."""
    while True:
        try:
            key = os.read(terminal, 1)
        except OSError:
            return
        if not key:
            return
        tell(key.decode("latin-1"))
