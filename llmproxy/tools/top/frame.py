"""One frame: the lines that fit a terminal, top to bottom. Pure: from a moment and a View."""

from __future__ import annotations

from rich.text import Text

from llmproxy.tools.top.calls import call_table
from llmproxy.tools.top.endpoints import endpoint_table
from llmproxy.tools.top.header import header
from llmproxy.tools.top.look import QUIET, Look
from llmproxy.tools.top.table import cut
from llmproxy.tools.top.view import View

CALLS_AT_LEAST = 4  # lines, with their head; none where not even this many lines are there:
SHORT = 18
CALLS_ONCE = 10
FOOTER = "q leaves.  calls, errors and times are those of the last minute"


def frame(view: View, now: float, size: tuple[int, int | None], look: Look) -> list[Text]:
    """Return the lines: at most size[0] wide, and at most size[1] of them (None: all).

    Empty before a ShownProxy was heard.
    """
    lines = [cut(line, size[0], look.glyphs.ellipsis) for line in _lines(view, now, size, look)]
    for line in lines:
        line.no_wrap, line.overflow = True, "crop"
    return lines


def _lines(view: View, now: float, size: tuple[int, int | None], look: Look) -> list[Text]:
    width, height = size
    if view.state is None:
        return []
    lines = header(view, view.state, now, width, look)
    if height is None:
        endpoints = endpoint_table(view.groups, width, None, look)
        calls = call_table(view.calls[:CALLS_ONCE], width, None, look)
        return [*lines, Text(), *endpoints, *([Text()] if calls else []), *calls]
    for_calls = min(CALLS_AT_LEAST, len(view.calls) + 1) if view.calls and height >= SHORT else 0
    endpoints = endpoint_table(view.groups, width, None, look)
    if len(lines) + len(endpoints) + for_calls + 1 > height:
        lines = header(view, view.state, now, width, look, brief=True)
        room = max(2, height - 1 - len(lines) - for_calls)
        endpoints = endpoint_table(view.groups, width, room, look)
    room = height - 1 - len(lines) - len(endpoints)
    body = [*endpoints, *call_table(view.calls, width, room, look)]
    if view.lost is not None:
        for line in body:
            line.stylize("dim")
    lines = [*lines, *body][: max(0, height - 1)]
    lines += [Text()] * (height - 1 - len(lines))
    return [*lines, Text(FOOTER, QUIET)][-height:]
