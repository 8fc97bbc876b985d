"""The latest calls, newest first: at the bottom of the frame, and on a page. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from llmproxy.tools.top import figures
from llmproxy.tools.top.controls import CallKey
from llmproxy.tools.top.look import QUIET, Look
from llmproxy.tools.top.payloads import Trace, readable
from llmproxy.tools.top.table import Column, fit

# Wide enough for an error's code before there are further columns.
ROOMY = 90


def call_table(
    calls: Sequence[Trace],
    width: int,
    height: int | None,
    look: Look,
    *,
    chosen: CallKey | None = None,
) -> list[Text]:
    """Return the lines of the latest calls, at most `height`; with the chosen one, if any."""
    room = len(calls) if height is None else max(0, height - 1)
    keys = [call.key for call in calls]
    at = keys.index(chosen) if chosen in keys else 0
    first = max(0, min(at - room // 2, len(calls) - room))
    shown = calls[first : first + room]
    if not shown:
        return []
    note_cells = 23 if width >= ROOMY else 14
    fitted = fit(_columns(shown, look, note_cells), width)
    ellipsis = look.glyphs.ellipsis
    lines = [fitted.row(i, ellipsis) for i in range(len(shown))]
    for call, line in zip(shown, lines, strict=True):
        if call.key == chosen:
            line.pad_right(max(0, width - line.cell_len))
            line.stylize("reverse")
    return [fitted.head(width, ellipsis), *lines]


def _columns(calls: Sequence[Trace], look: Look, note_cells: int) -> list[Column]:
    def right(texts: Sequence[str]) -> list[Text]:
        return [Text(text, QUIET if text == figures.NONE else "") for text in texts]

    firsts = [figures.milliseconds(call.first_byte_ms) for call in calls]
    notes = [_note(call, look) for call in calls]
    totals = [figures.milliseconds(call.total_ms) for call in calls]
    return [
        Column("TIME", [Text(look.clock(call.at), QUIET) for call in calls]),
        Column("STATUS", [status_of(call) for call in calls], short="ST", right=True),
        Column("REQUEST", [Text(_request(call)) for call in calls], 4, steady=16, least=16),
        Column("GROUP, ENDPOINT", [way_of(call, look) for call in calls], 1, steady=24, least=24),
        Column("FIRST", right(firsts), 5, steady=5, right=True),
        Column("TOTAL", right(totals), 2, steady=5, right=True),
        Column("TOKENS", [Text(tokens_of(call)) for call in calls], 6, steady=9, right=True),
        Column("COST", right([_cost(call) for call in calls]), 7, steady=7, right=True),
        Column("NOTE", notes, 3, steady=note_cells, least=note_cells),
        Column("CALLER", [Text(readable(call.caller or "")) for call in calls], 8),
        Column(
            "ID", [Text(readable(call.id or figures.NONE), QUIET) for call in calls], 9, extra=True
        ),
    ]


def status_of(call: Trace) -> Text:
    """Return the status, in the colour of its kind."""
    style = "red" if call.status >= 500 else "yellow" if call.status >= 400 else ""
    return Text(str(call.status), style)


def _request(call: Trace) -> str:
    """Return the request without POST and /v1, which nearly all calls share."""
    return readable(call.request.removeprefix("POST ").replace("/v1/", "", 1))


def way_of(call: Trace, look: Look) -> Text:
    """Return the group, and the endpoint that answered or was asked last."""
    way = Text(readable(call.group or figures.NONE))
    if call.endpoint is not None:
        way.append(f" {look.glyphs.arrow} ", QUIET).append(readable(call.endpoint))
    return way


def tokens_of(call: Trace) -> str:
    """Return the tokens read and written; "" if the endpoint did not count them."""
    if call.input_tokens is None and call.output_tokens is None:
        return ""
    return f"{figures.count(call.input_tokens or 0)}+{figures.count(call.output_tokens or 0)}"


def _cost(call: Trace) -> str:
    return figures.NONE if call.cost_usd is None else figures.dollars(call.cost_usd)


def _note(call: Trace, look: Look) -> Text:
    """Return what is unusual about a call."""
    notes = []
    if call.fallback is not None:
        notes.append(f"fallback {readable(call.fallback)}")
    attempts = sum(step.what == "attempt" for step in call.steps)
    if attempts > 1:
        notes.append(f"{attempts} attempts")
    if call.error is not None:
        text = ", ".join([readable(call.error), *notes])
        return Text(f"{look.glyphs.bad} {text}", "red")
    if call.cache is not None and call.cache not in ("miss", "bypass"):
        notes.append(f"cache {readable(call.cache)}")
    if not notes:
        return Text()
    notable = call.fallback is not None or attempts > 1
    mark = f"{look.glyphs.warning} " if notable else ""
    return Text(mark + ", ".join(notes), "yellow" if notable else QUIET)
