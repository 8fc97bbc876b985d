"""The middle of the frame: each group with its endpoints. Pure.

Where not every line has room, those in trouble come first, and a last line counts the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.text import Text

from llmproxy.tools.top import figures
from llmproxy.tools.top.controls import Row, rows_of
from llmproxy.tools.top.look import QUIET, Look, bar, error_style, fill_style, left_style
from llmproxy.tools.top.payloads import Level, Recent, ShownEndpoint, ShownGroup, readable
from llmproxy.tools.top.table import Column, cut, fit

WHY = "WHY"
BAR_CELLS = 3


@dataclass(frozen=True)
class _Line:
    """A candidate line; lines of lower rank are shown first."""

    rank: int
    text: Text
    endpoint: bool = False
    row: Row | None = None


def endpoint_table(
    groups: Sequence[ShownGroup],
    width: int,
    height: int | None,
    look: Look,
    *,
    chosen: Row | None = None,
) -> list[Text]:
    """Return the lines of the groups and endpoints, at most `height`, around the chosen one."""
    rows: list[ShownGroup | ShownEndpoint] = []
    for group in groups:
        rows += [group, *group.endpoints]
    if not rows:
        return [cut(Text("There is no model group to show.", QUIET), width, look.glyphs.ellipsis)]
    places = rows_of(groups)
    fitted = fit(_columns(rows, look), width)
    lines: list[_Line] = []
    for index, row in enumerate(rows):
        text = fitted.row(index, look.glyphs.ellipsis)
        if places[index] == chosen:
            text.pad_right(max(0, width - text.cell_len))
            text.stylize("reverse")
        lines.append(_Line(_rank(row), text, isinstance(row, ShownEndpoint), places[index]))
        why = _why(row)
        if why and not fitted.shows(WHY):
            note = Text(f"    {look.glyphs.corner} {why}", QUIET)
            lines.append(_Line(1, cut(note, width, look.glyphs.ellipsis)))
    head = fitted.head(width, look.glyphs.ellipsis)
    room = None if height is None else height - 1
    at = [index for index, line in enumerate(lines) if line.row == chosen is not None]
    if at and room is not None and len(lines) > room:
        return [head, *_around(lines, at[0], width, room, look)]
    return [head, *_as_fits(lines, width, room, look)]


def _around(lines: Sequence[_Line], at: int, width: int, height: int, look: Look) -> list[Text]:
    """Return the lines around one, and how many are above and below."""
    room = max(1, height - 1)
    first = min(max(0, at - room // 2), len(lines) - room)
    above, below = first, len(lines) - first - room
    counts = [f"{above} lines above"] * (above > 0) + [f"{below} lines below"] * (below > 0)
    last = Text(f"{look.glyphs.ellipsis} {', '.join(counts)}", QUIET)
    return [*(line.text for line in lines[first : first + room]), cut(last, width, "")][:height]


def _rank(row: ShownGroup | ShownEndpoint) -> int:
    """Return the rank: in trouble, (1: its reason,) a group or full endpoint, healthy, idle."""
    if isinstance(row, ShownGroup):
        return 0 if row.status != "ok" else 2
    if row.state == "ok":
        return 3 if row.recent.calls else 4
    return 2 if row.state == "full" else 0


def _as_fits(lines: Sequence[_Line], width: int, height: int | None, look: Look) -> list[Text]:
    if height is None or len(lines) <= height:
        return [line.text for line in lines]
    by_rank = sorted(range(len(lines)), key=lambda index: lines[index].rank)
    shown = set(by_rank[: max(0, height - 1)])
    hidden = [line for index, line in enumerate(lines) if index not in shown and line.rank != 1]
    endpoints = sum(line.endpoint for line in hidden)
    line = f"{look.glyphs.ellipsis} {_counted(endpoints, 'more endpoint')}"
    if groups := len(hidden) - endpoints:
        line += f", {_counted(groups, 'more group')}"
    if troubled := sum(line.rank == 0 for line in hidden):
        line += f"; not ok: {troubled}"
    texts = [line.text for index, line in enumerate(lines) if index in shown]
    last = cut(Text(line, "yellow" if troubled else QUIET), width, look.glyphs.ellipsis)
    return [*texts, last][:height]


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _columns(rows: Sequence[ShownGroup | ShownEndpoint], look: Look) -> list[Column]:
    def cells(read: Callable[[ShownEndpoint], Text]) -> list[Text]:
        return [read(row) if isinstance(row, ShownEndpoint) else Text() for row in rows]

    requests = cells(lambda row: _share_left(row.capacity.requests, look))
    tokens = cells(lambda row: _share_left(row.capacity.tokens, look))
    names = [_name(row) for row in rows]
    recents = [row.recent for row in rows]
    return [
        Column("GROUP, ENDPOINT", names, short="ENDPOINT", least=13, names=True),
        Column("STATE", [_state(row, look) for row in rows], steady=15),
        Column("TIER", cells(lambda row: Text(f"{row.tier}")), 8, "T", right=True),
        Column("WEIGHT", cells(lambda row: Text(f"{row.weight:g}")), 9, "W", right=True),
        Column("BREAKER", cells(_breaker), 11, steady=9),
        Column("BUSY", [_busy(row) for row in rows], 1, right=True),
        Column("REQUESTS", requests, 4),
        Column("TOKENS", tokens, 5, steady=8),
        Column("CALLS", [Text(figures.count(recent.calls)) for recent in recents], 2, right=True),
        Column("ERR", [_errors(recent) for recent in recents], 3, steady=4, right=True),
        Column(
            "P50", [_time(recent.first_byte_p50_ms) for recent in recents], 7, steady=5, right=True
        ),
        Column(
            "P99", [_time(recent.first_byte_p99_ms) for recent in recents], 6, steady=5, right=True
        ),
        Column(
            "REQ LEFT", cells(lambda row: _left(row.capacity.requests)), 12, right=True, extra=True
        ),
        Column(
            "TOK LEFT", cells(lambda row: _left(row.capacity.tokens)), 13, right=True, extra=True
        ),
        Column(WHY, [Text(_why(row), QUIET) for row in rows], 10, steady=36, least=36),
    ]


def _name(row: ShownGroup | ShownEndpoint) -> Text:
    if isinstance(row, ShownGroup):
        return Text(readable(row.group), "bold")
    return Text("  " + readable(row.endpoint))


def _state(row: ShownGroup | ShownEndpoint, look: Look) -> Text:
    if isinstance(row, ShownGroup):
        return look.state(row.status)
    # A misconfigured endpoint waits for a person, not for a time to pass.
    counted = row.ready_in_s and row.state not in {"ok", "misconfigured", "drained"}
    shown = f"{row.state} {figures.seconds(row.ready_in_s or 0)}" if counted else row.state
    return look.state(row.state, readable(shown))


def _breaker(row: ShownEndpoint) -> Text:
    return Text(readable(row.breaker), QUIET if row.breaker == "closed" else "yellow")


def _why(row: ShownGroup | ShownEndpoint) -> str:
    if isinstance(row, ShownEndpoint):
        # "drained" says no more than the state
        return "" if row.why is None or row.why == row.state else readable(row.why)
    if not row.waiting:
        return ""
    return "1 call waits for room" if row.waiting == 1 else f"{row.waiting:,} calls wait for room"


def _busy(row: ShownGroup | ShownEndpoint) -> Text:
    at_once = row.capacity.concurrent if isinstance(row, ShownEndpoint) else None
    line = figures.count(row.in_flight)
    if at_once is None:
        return Text(line)
    used = 1 - at_once.left / at_once.limit if at_once.limit else 1.0
    return Text(f"{line}/{figures.count(at_once.limit)}", fill_style(used) if used >= 0.8 else "")


def _share_left(level: Level | None, look: Look) -> Text:
    """Return what is left as a bar, as on the dashboard: full is good."""
    if level is None:
        return Text()
    left = level.share_left
    drawn = bar(left, BAR_CELLS, look.glyphs)
    return Text.assemble((drawn, left_style(left)), f"{100 * left:.0f}%".rjust(5))


def _left(level: Level | None) -> Text:
    if level is None:
        return Text()
    return Text(f"{figures.count(max(0.0, level.left))}/{figures.count(level.limit)}", QUIET)


def _errors(recent: Recent) -> Text:
    if not recent.calls:
        return Text(figures.NONE, QUIET)
    return Text(figures.share(recent.error_rate), error_style(recent.error_rate))


def _time(ms: float | None) -> Text:
    return Text(figures.milliseconds(ms), "" if ms is not None else QUIET)
