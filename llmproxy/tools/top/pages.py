"""The pages beside the list: one endpoint, and the keys. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from llmproxy.tools.top import figures
from llmproxy.tools.top.calls import call_table
from llmproxy.tools.top.controls import Row
from llmproxy.tools.top.look import QUIET, Look, bar, left_style
from llmproxy.tools.top.payloads import Level, ShownEndpoint, ShownGroup, Trace, readable

LABEL_CELLS = 12
BAR_CELLS = 20
KEYS = (
    ("up, down, k, j", "choose a line; Page Up and Page Down go ten lines"),
    ("Enter", "look into it; Escape goes back"),
    ("/", "show only names and states with a text; Escape ends it"),
    ("s", "sort: as in the config, in trouble, most calls, most errors"),
    ("d", "drain the endpoint, after a y: it gets no new calls"),
    ("u", "undo the drain"),
    ("c", "clear its cooldown and close its breaker"),
    ("q, Ctrl+C", "leave"),
)
LEGEND = (
    "Bars show what is LEFT of a limit, as on the dashboard: full is good.",
    "BUSY counts calls under way, of how many. T and W are tier and weight.",
    "Calls, errors and times to the first byte are those of the last minute.",
)


def help_page() -> list[Text]:
    """Return the keys, and what the figures mean."""
    lines = [Text("Keys", "bold"), Text()]
    lines += [Text.assemble((f"  {key:16}", "bold"), meaning) for key, meaning in KEYS]
    return [*lines, Text(), *(Text(line, QUIET) for line in LEGEND)]


def endpoint_page(
    groups: Sequence[ShownGroup], row: Row, calls: Sequence[Trace], width: int, look: Look
) -> list[Text]:
    """Return everything that is known of an endpoint, and its latest calls."""
    found = [
        one
        for group in groups
        for one in group.endpoints
        if (group.group, one.endpoint) == (row.group, row.endpoint)
    ]
    title = Text(
        f"{readable(row.group)} {look.glyphs.arrow} {readable(row.endpoint or '')}", "bold"
    )
    if not found:
        return [title, Text("It is not in the config any longer.", "yellow")]
    (endpoint,) = found
    own = [call for call in calls if (call.group, call.endpoint) == (row.group, row.endpoint)]
    table = call_table(own, width, None, look) or [
        Text("It answered none of the latest calls.", QUIET)
    ]
    return [title, Text(), *_facts(endpoint, look), Text(), *table]


def _facts(endpoint: ShownEndpoint, look: Look) -> Iterator[Text]:
    recent, capacity = endpoint.recent, endpoint.capacity
    state = look.state(endpoint.state)
    if endpoint.ready_in_s:
        state.append(f" for {figures.seconds(endpoint.ready_in_s)} more")
    yield _fact("state", state)
    if endpoint.why is not None and endpoint.why != endpoint.state:
        yield _fact("why", Text(readable(endpoint.why)))
    yield _fact("breaker", Text(readable(endpoint.breaker)))
    yield _fact("tier, weight", Text(f"{endpoint.tier}, {endpoint.weight:g}"))
    yield _fact("under way", Text(figures.count(endpoint.in_flight)))
    for name, level in (
        ("requests", capacity.requests),
        ("tokens", capacity.tokens),
        ("at a time", capacity.concurrent),
    ):
        yield _fact(name, Text("no limit known", QUIET) if level is None else _left(level, look))
    failed = f", {figures.share(recent.error_rate)} failed" if recent.calls else ""
    attempts = f"{recent.calls:,} attempt{'' if recent.calls == 1 else 's'}"
    yield _fact("last minute", Text(f"{attempts}{failed}"))
    p50 = figures.milliseconds(recent.first_byte_p50_ms)
    p99 = figures.milliseconds(recent.first_byte_p99_ms)
    yield _fact("first byte", Text(f"p50 {p50}, p99 {p99}"))


def _fact(name: str, value: Text) -> Text:
    return Text.assemble((f"  {name:{LABEL_CELLS}}  ", QUIET), value)


def _left(level: Level, look: Look) -> Text:
    share = level.share_left
    return Text.assemble(
        (bar(share, BAR_CELLS, look.glyphs), left_style(share)),
        f" {100 * share:.0f}% left: "
        f"{figures.count(max(0.0, level.left))} of {figures.count(level.limit)}",
    )
