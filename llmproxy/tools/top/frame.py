"""One frame: the lines that fit a terminal, top to bottom. Pure: from a moment and a View."""

from __future__ import annotations

from rich.text import Text

from llmproxy.tools.top.call_page import call_page
from llmproxy.tools.top.calls import call_table
from llmproxy.tools.top.controls import Controls, Order, Page, shown_calls, shown_groups
from llmproxy.tools.top.endpoints import endpoint_table
from llmproxy.tools.top.header import header
from llmproxy.tools.top.look import QUIET, Look
from llmproxy.tools.top.pages import LABEL_CELLS, calls_page, endpoint_page, help_page
from llmproxy.tools.top.payloads import readable
from llmproxy.tools.top.table import cut, folded
from llmproxy.tools.top.view import View

CALLS_AT_LEAST = 4  # lines, with their head; none where not even this many lines are there:
SHORT = 18
CALLS_ONCE = 10
PAGE_INDENT = LABEL_CELLS + 4
UNTOUCHED = Controls()
FOOTER = "q leaves.  ? keys.  bars: what is LEFT of a limit.  figures: last minute"


def frame(
    view: View,
    now: float,
    size: tuple[int, int | None],
    look: Look,
    controls: Controls = UNTOUCHED,
) -> list[Text]:
    """Return the lines: at most size[0] wide, and at most size[1] of them (None: all).

    Empty before a ShownProxy was heard.
    """
    lines = [
        cut(line, size[0], look.glyphs.ellipsis) for line in _lines(view, now, size, look, controls)
    ]
    for line in lines:
        line.no_wrap, line.overflow = True, "crop"
    return lines


def _lines(
    view: View, now: float, size: tuple[int, int | None], look: Look, controls: Controls
) -> list[Text]:
    width, height = size
    if view.state is None:
        return []
    if height is not None and controls.page is not Page.LIST:
        return _page(view, width, height, look, controls)
    groups = shown_groups(view.groups, controls)
    lines = header(view, view.state, now, width, look)
    if height is None:
        endpoints = endpoint_table(groups, width, None, look)
        calls = call_table(view.calls[:CALLS_ONCE], width, None, look)
        return [*lines, Text(), *endpoints, *([Text()] if calls else []), *calls]
    for_calls = min(CALLS_AT_LEAST, len(view.calls) + 1) if view.calls and height >= SHORT else 0
    endpoints = endpoint_table(groups, width, None, look, chosen=controls.chosen)
    if len(lines) + len(endpoints) + for_calls + 1 > height:
        lines = header(view, view.state, now, width, look, brief=True)
        room = max(2, height - 1 - len(lines) - for_calls)
        endpoints = endpoint_table(groups, width, room, look, chosen=controls.chosen)
    room = height - 1 - len(lines) - len(endpoints)
    body = [*endpoints, *call_table(view.calls, width, room, look)]
    if view.lost is not None:
        for line in body:
            line.stylize("dim")
    lines = [*lines, *body][: max(0, height - 1)]
    lines += [Text()] * (height - 1 - len(lines))
    return [*lines, _footer(controls)][-height:]


def _page(view: View, width: int, height: int, look: Look, controls: Controls) -> list[Text]:
    """Return the lines of a page beside the list."""
    if controls.page is Page.ENDPOINT and controls.chosen is not None:
        lines = endpoint_page(view.groups, controls.chosen, view.calls, width, look)
    elif controls.page is Page.CALLS:
        calls = shown_calls(view.calls, controls)
        lines = calls_page(calls, controls.call, (width, height - 1), look)
    elif controls.page is Page.CALL:
        found = [call for call in view.calls if call.key == controls.call]
        lines = call_page(found[0] if found else None, width, look)
    else:
        lines = help_page()
    if controls.page is not Page.CALLS:
        lines = [part for line in lines for part in folded(line, width, PAGE_INDENT)]
        lines = _scrolled(lines, controls.scrolled, height - 1, look)
    lines = lines[: max(0, height - 1)]
    return [*lines, *[Text()] * (height - 1 - len(lines)), _footer(controls)][-height:]


def _scrolled(lines: list[Text], above: int, height: int, look: Look) -> list[Text]:
    """Return the lines that fit, from one on; the last one counts those below it."""
    lines = lines[min(above, max(0, len(lines) - height)) :]
    if len(lines) <= height or height < 1:
        return lines
    below = f"{look.glyphs.ellipsis} {len(lines) - height + 1} more lines: down, Page Down"
    return [*lines[: height - 1], Text(below, QUIET)]


def _footer(controls: Controls) -> Text:
    """Return the last line: what a key does now."""
    if controls.asked is not None:
        _, verb, meaning = controls.asked.action.value
        row = controls.asked.row
        name = f"{readable(row.endpoint or '')} of {readable(row.group)}"
        return Text(f"[y/n] {verb} {name}? {meaning}", "bold yellow")
    if controls.typing:
        return Text(f"filter: {controls.filter}_   Enter keeps it, Escape ends it", "bold")
    if controls.page is Page.HELP:
        return Text("q leaves.  Any other key goes back.", QUIET)
    if controls.page is Page.ENDPOINT:
        return Text(
            "Escape: back  Tab: calls  d drain  u undo the drain  c clear the cooldown", QUIET
        )
    if controls.page is Page.CALL:
        return Text("Escape goes back.", QUIET)
    if controls.page is Page.CALLS:
        of = controls.chosen
        names = [] if of is None else [f"of {readable(of.endpoint or of.group)}"]
        names += [f"filter: {controls.filter}"] if controls.filter else []
        chosen = f"  latest calls {', '.join(names)}" if names else ""
        return Text(f"Escape: back  Enter: look into  /: filter{chosen}", QUIET)
    notes = []
    if controls.filter:
        notes.append(f"filter: {controls.filter}")
    if controls.only is not None:
        notes.append(f"only {readable(controls.only)}")
    if controls.order is not Order.CONFIG:
        notes.append(controls.order.value)
    if notes:
        return Text(f"q leaves.  ? keys.  {', '.join(notes)} (Escape: all)", "bold")
    return Text(FOOTER, QUIET)
