"""Colours and marks: each state has both, so no meaning depends on the colour alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo

from rich.text import Text

from llmproxy.tools.top.glyphs import BLOCKS, Glyphs

QUIET = "dim"
_BAD = {"down", "open", "misconfigured", "lost", "silent"}
_WARNING = {"degraded", "full", "cooling", "half-open", "draining"}


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
