"""The pages beside the list: one endpoint, its calls, and the keys. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from rich.text import Text

from llmproxy.tools.top import figures
from llmproxy.tools.top.calls import call_table
from llmproxy.tools.top.controls import CallKey, Row
from llmproxy.tools.top.look import QUIET, Look, bar, left_style
from llmproxy.tools.top.payloads import Level, ShownEndpoint, ShownGroup, Trace, readable

LABEL_CELLS = 12
BAR_CELLS = 20
KEYS = (
    ("up, down, k, j", "choose a line; Page Up and Page Down go ten lines"),
    ("Enter", "look into it; Escape goes back"),
    ("Tab", "the latest calls of the chosen line; Enter looks into one"),
    ("/", "show only names and states with a text; Escape ends it"),
    ("s", "sort: as in the config, in trouble, most calls, most errors"),
    ("d", "drain the endpoint, after a y: it gets no new calls"),
    ("u", "undo the drain"),
    ("c", "clear its cooldown and close its breaker"),
    ("q, Ctrl+C", "leave"),
)
# What a person can do about an endpoint in a state.
REMEDIES = {
    "misconfigured": "Correct its key or model; `llmproxy doctor --live` says which.",
    "open": "Look at the vendor's status. c sends it calls at once.",
    "half-open": "Nothing: the next call shows whether it answers again.",
    "cooling": "Nothing. If it is often so, lower its weight or limits.",
    "full": "Nothing. If it is often so, add an endpoint or quota.",
    "drained": "u gives it calls again.",
}
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
    own = [call for call in calls if call.asked(row.group, row.endpoint)]
    table = call_table(own, width, None, look) or [
        Text("None of the latest calls asked it.", QUIET)
    ]
    facts = [*_facts(endpoint, look), *_last_failure(endpoint, own, width, look)]
    return [title, Text(), *facts, Text(), *table]


def calls_page(
    calls: Sequence[Trace], chosen: CallKey | None, size: tuple[int, int], look: Look
) -> list[Text]:
    """Return the latest calls, around the chosen one."""
    return call_table(calls, *size, look, chosen=chosen) or [
        Text("There are no such calls among the latest.", QUIET)
    ]


def _last_failure(
    endpoint: ShownEndpoint, calls: Sequence[Trace], width: int, look: Look
) -> Iterator[Text]:
    """Yield when it failed last, in its own words."""
    failures = (
        (call, step.message or (step.reason or "").replace("_", " "))
        for call in calls
        for step in call.steps
        if step.endpoint == endpoint.endpoint and step.outcome == "failed"
    )
    for call, said in failures:
        lines = wrap(readable(said), max(20, width - LABEL_CELLS - 5))
        lines.append(f"at {look.clock(call.at)}, call {readable(call.id or figures.NONE)}")
        for index, line in enumerate(lines):
            yield fact("" if index else "last failure", Text(line, "yellow"))
        return


def _facts(endpoint: ShownEndpoint, look: Look) -> Iterator[Text]:
    recent, capacity = endpoint.recent, endpoint.capacity
    state = look.state(endpoint.state)
    if endpoint.ready_in_s:
        state.append(f" for {figures.seconds(endpoint.ready_in_s)} more")
    yield fact("state", state)
    if endpoint.why is not None and endpoint.why != endpoint.state:
        yield fact("why", Text(readable(endpoint.why)))
    if endpoint.state in REMEDIES:
        yield fact("what to do", Text(REMEDIES[endpoint.state]))
    yield fact("breaker", Text(readable(endpoint.breaker)))
    yield fact("tier, weight", Text(f"{endpoint.tier}, {endpoint.weight:g}"))
    yield fact("under way", Text(figures.count(endpoint.in_flight)))
    for name, level in (
        ("requests", capacity.requests),
        ("tokens", capacity.tokens),
        ("at a time", capacity.concurrent),
    ):
        yield fact(name, Text("no limit known", QUIET) if level is None else _left(level, look))
    failed = f", {figures.share(recent.error_rate)} failed" if recent.calls else ""
    attempts = f"{recent.calls:,} attempt{'' if recent.calls == 1 else 's'}"
    yield fact("last minute", Text(f"{attempts}{failed}"))
    p50 = figures.milliseconds(recent.first_byte_p50_ms)
    p99 = figures.milliseconds(recent.first_byte_p99_ms)
    yield fact("first byte", Text(f"p50 {p50}, p99 {p99}"))


def fact(name: str, value: Text) -> Text:
    """Return a line with a name and a value."""
    return Text.assemble((f"  {name:{LABEL_CELLS}}  ", QUIET), value)


def _left(level: Level, look: Look) -> Text:
    share = level.share_left
    return Text.assemble(
        (bar(share, BAR_CELLS, look.glyphs), left_style(share)),
        f" {100 * share:.0f}% left: "
        f"{figures.count(max(0.0, level.left))} of {figures.count(level.limit)}",
    )
