"""The live view: the alternate screen, redrawn at each update and once a second."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import time
from types import FrameType

from rich.console import Console, Group
from rich.live import Live

from llmproxy.tools.admin_client import AdminApiError, ProxyAddress, ask
from llmproxy.tools.top.controls import Command, Controls, rows_of, shown_calls, shown_groups
from llmproxy.tools.top.frame import frame
from llmproxy.tools.top.listening import listen
from llmproxy.tools.top.look import Look, glyphs_for
from llmproxy.tools.top.view import NOTICE_S, Heard, Lost, Refused, View

try:
    import termios
    import tty
except ImportError:  # pragma: no cover - not a POSIX system
    termios = tty = None  # type: ignore[assignment]

REDRAW_S = 1.0
RESIZE_SEEN_WITHIN_S = 0.2
COMMAND_TIMEOUT_S = 10.0
LEAVE = frozenset(("q", "Q", "\x03"))
NAMES = {  # of keys that are not characters, as terminals send them
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1b[C": "right",
    "\x1b[D": "left",
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    "\x1b[H": "home",
    "\x1b[F": "end",
    "\x1b": "escape",
    "\t": "tab",
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
}
_KEY = re.compile("\x1b[\\[O][0-9;]*[A-Za-z~]|.", re.DOTALL)


@dataclass(frozen=True)
class CommandResult:
    """What became of a command; shown for a while."""

    text: str


News = Heard | CommandResult | str


def watch(
    address: ProxyAddress, group: str | None, console: Console
) -> str | Lost | Refused | None:
    """Show the proxy until the user quits (None), or until there are no more updates.

    Returns why it did not begin, or ended: the text for a group that is not there, Lost if there
    is no proxy, Refused if it does not tell.
    """
    heard: SimpleQueue[News] = SimpleQueue()
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
            return _Screen(address, heard, live).show(view)
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


def _first_view(view: View, heard: SimpleQueue[News]) -> tuple[View, str | Lost | Refused | None]:
    """Wait for the first ShownProxy; return the view, and why there is no state."""
    while view.state is None:
        news = heard.get()
        if isinstance(news, Lost | Refused):
            return view, news
        if not isinstance(news, str | CommandResult):
            view = view.after(news, time())
    return view, no_such_group(view)


class _Screen:
    """Draws what is heard, and does what the keys say."""

    def __init__(self, address: ProxyAddress, heard: SimpleQueue[News], live: Live) -> None:
        self._address = address
        self._heard = heard
        self._live = live
        self._look = Look(glyphs_for(live.console.encoding))
        self._controls = Controls()

    def show(self, view: View) -> Refused | None:
        """Draw each update until the user quits, or the proxy refuses access."""
        drawn_at, drawn_size, changed = 0.0, self._live.console.size, True
        while True:
            now, size = time(), self._live.console.size
            if changed or size != drawn_size or now - drawn_at >= REDRAW_S or now < drawn_at:
                lines = frame(view, now, (size.width, size.height), self._look, self._controls)
                self._live.update(Group(*lines), refresh=True)
                drawn_at, drawn_size, changed = now, size, False
            try:
                news = self._heard.get(timeout=RESIZE_SEEN_WITHIN_S)
            except Empty:
                continue
            changed = True
            match news:
                case Refused():
                    return news
                case CommandResult(text):
                    view = replace(view, notice=(text, time() + NOTICE_S))
                case str(key):
                    if key == "\x03" or (key in LEAVE and not self._controls.typing):
                        return None
                    self._press(key, view)
                case _:
                    view = view.after(news, time())

    def _press(self, key: str, view: View) -> None:
        rows = rows_of(shown_groups(view.groups, self._controls))
        calls = [call.key for call in shown_calls(view.calls, self._controls)]
        self._controls, command = self._controls.after(key, rows, calls)
        if command is not None:
            # It asks in a thread of its own: the screen goes on.
            Thread(target=self._carry_out, args=(command,), daemon=True).start()

    def _carry_out(self, command: Command) -> None:
        route, verb, _ = command.action.value
        body = {"group": command.row.group, "endpoint": command.row.endpoint}
        try:
            ask(
                self._address,
                f"/admin/{route}",
                timeout_s=COMMAND_TIMEOUT_S,
                method="POST",
                body=body,
            )
        except AdminApiError as error:
            self._heard.put(CommandResult(str(error)))
        else:
            self._heard.put(CommandResult(f"{verb} {command.row.endpoint}: done."))


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


def keys_in(text: str) -> list[str]:
    """Return the keys in what a terminal sent: characters, or names such as "up"."""
    found = [key.replace("\x1bO", "\x1b[") for key in _KEY.findall(text)]
    return [NAMES.get(key, key) for key in found]


def _read_keys(terminal: int, tell: Callable[[str], object]) -> None:
    """Read to the end of the input. It blocks, so the thread ends with the process."""
    while True:
        try:
            # The bytes of one key come at once.
            pressed = os.read(terminal, 1024)
        except OSError:
            return
        if not pressed:
            return
        for key in keys_in(pressed.decode("utf-8", "replace")):
            tell(key)
