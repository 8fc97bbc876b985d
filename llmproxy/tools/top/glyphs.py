"""Draw with characters: bars, a line of traffic, marks. Pure.

For an output that cannot write them there is a set of ASCII.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil


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
