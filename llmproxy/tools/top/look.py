"""Colours, marks, bars and lines of traffic. Pure.

Each state has a colour and a mark, so no meaning depends on the colour alone. For an output that
cannot write the characters there is a set of ASCII.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from math import ceil

from rich.text import Text

QUIET = "dim"
_BAD = {"down", "open", "misconfigured", "lost", "silent"}
_WARNING = {"degraded", "full", "cooling", "half-open", "draining"}


@dataclass(frozen=True)
class Glyphs:
    """`heights`: from empty to full; `fills`: parts of a bar's cell, the last is a full cell."""

    heights: str
    fills: str
    empty: str
    ok: str
    warning: str
    bad: str
    out: str
    arrow: str
    corner: str
    ellipsis: str


BLOCKS = Glyphs(" ▁▂▃▄▅▆▇█", "▌█", "·", "●", "▲", "✖", "○", "→", "└", "…")
ASCII = Glyphs(" .:-=+*#@", "#", ".", "*", "!", "X", "o", ">", "`", "~")


@dataclass(frozen=True)
class Look:
    """The characters that the output can write, and its time zone (None: this machine's)."""

    glyphs: Glyphs = BLOCKS
    zone: tzinfo | None = None

    def clock(self, at: float) -> str:
        """Format Unix seconds as 14:03:22."""
        return datetime.fromtimestamp(at, self.zone).strftime("%H:%M:%S")

    def state(self, word: str, shown: str | None = None) -> Text:
        """Return mark and word for the state of a proxy, a group or an endpoint."""
        mark, style = self._of(word)
        return Text(f"{mark} {shown or word}", style)

    def _of(self, word: str) -> tuple[str, str]:
        if word == "ok":
            return self.glyphs.ok, "green"
        if word in _BAD:
            return self.glyphs.bad, "bold red"
        if word in _WARNING:
            return self.glyphs.warning, "yellow"
        return self.glyphs.out, "cyan"  # drained, and what a newer proxy may say


def error_style(part: float) -> str:
    """Return the style of a share of failed calls."""
    if part >= 0.05:
        return "bold red"
    return "yellow" if part else ""


def fill_style(part: float) -> str:
    """Return the style of a limit by its used share."""
    if part >= 0.95:
        return "red"
    return "yellow" if part >= 0.8 else "green"


def left_style(part: float) -> str:
    """Return the style of a limit by the share of it that is left."""
    return fill_style(1 - part)


def glyphs_for(encoding: str) -> Glyphs:
    """Return the glyphs that an output with this encoding can write."""
    try:
        "".join(vars(BLOCKS).values()).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return BLOCKS


def bar(part: float, width: int, glyphs: Glyphs) -> str:
    """Return a bar of `width` cells, filled by `part` (0 to 1); a part above 0 is always
    visible."""
    steps = len(glyphs.fills)
    filled = min(ceil(max(0.0, part) * width * steps - 1e-9), width * steps)
    whole, rest = divmod(filled, steps)
    cells = glyphs.fills[-1] * whole + (glyphs.fills[rest - 1] if rest else "")
    return cells.ljust(width, glyphs.empty)


def line_of(values: Sequence[float], width: int, highest: float, glyphs: Glyphs) -> str:
    """Return the latest `width` values as heights; a value above 0 is always visible."""
    steps = len(glyphs.heights) - 1
    latest = values[-width:] if width > 0 else ()
    return "".join(
        glyphs.heights[min(steps, ceil(value / highest * steps - 1e-9)) if value > 0 else 0]
        for value in latest
    ).rjust(width)
