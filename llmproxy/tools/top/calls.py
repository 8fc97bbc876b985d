"""The bottom of the frame: the latest calls, newest first. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from llmproxy.tools.top import figures
from llmproxy.tools.top.look import QUIET, Look
from llmproxy.tools.top.payloads import Trace, readable
from llmproxy.tools.top.table import Column, fit

# Wide enough for an error's code before there are further columns.
ROOMY = 90


def call_table(calls: Sequence[Trace], width: int, height: int | None, look: Look) -> list[Text]:
    """Return the lines of the latest calls, at most `height`."""
    shown = calls if height is None else calls[: max(0, height - 1)]
    if not shown:
        return []
    note_cells = 23 if width >= ROOMY else 14
    fitted = fit(_columns(shown, look, note_cells), width)
    ellipsis = look.glyphs.ellipsis
    return [fitted.head(width, ellipsis)] + [fitted.row(i, ellipsis) for i in range(len(shown))]


def _columns(calls: Sequence[Trace], look: Look, note_cells: int) -> list[Column]:
    def right(texts: Sequence[str]) -> list[Text]:
        return [Text(text, QUIET if text == figures.NONE else "") for text in texts]

    firsts = [figures.milliseconds(call.first_byte_ms) for call in calls]
    notes = [_note(call, look) for call in calls]
    totals = [figures.milliseconds(call.total_ms) for call in calls]
    return [
        Column("TIME", [Text(look.clock(call.at), QUIET) for call in calls]),
        Column("STATUS", [_status(call) for call in calls], short="ST", right=True),
        Column("REQUEST", [Text(_request(call)) for call in calls], 4, steady=16, least=16),
        Column("GROUP, ENDPOINT", [_way(call, look) for call in calls], 1, steady=24, least=24),
        Column("FIRST", right(firsts), 5, steady=5, right=True),
        Column("TOTAL", right(totals), 2, steady=5, right=True),
        Column("TOKENS", [Text(_tokens(call)) for call in calls], 6, steady=9, right=True),
        Column("COST", right([_cost(call) for call in calls]), 7, steady=7, right=True),
        Column("NOTE", notes, 3, steady=note_cells, least=note_cells),
        Column("CALLER", [Text(readable(call.caller or "")) for call in calls], 8),
        Column(
            "ID", [Text(readable(call.id or figures.NONE), QUIET) for call in calls], 9, extra=True
        ),
    ]


def _status(call: Trace) -> Text:
    style = "red" if call.status >= 500 else "yellow" if call.status >= 400 else ""
    return Text(str(call.status), style)


def _request(call: Trace) -> str:
    """Return the request without POST and /v1, which nearly all calls share."""
    return readable(call.request.removeprefix("POST ").replace("/v1/", "", 1))


def _way(call: Trace, look: Look) -> Text:
    way = Text(readable(call.group or figures.NONE))
    if call.endpoint is not None:
        way.append(f" {look.glyphs.arrow} ", QUIET).append(readable(call.endpoint))
    return way


def _tokens(call: Trace) -> str:
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
