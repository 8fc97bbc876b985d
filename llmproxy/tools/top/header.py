"""The top of the frame: the proxy's state, the last minute in figures, its troubles. Pure."""

from __future__ import annotations

from rich.text import Text

from llmproxy.tools.top import figures
from llmproxy.tools.top.look import QUIET, Look, error_style, line_of
from llmproxy.tools.top.payloads import Recent, ShownProxy, Totals, readable
from llmproxy.tools.top.table import cut, one_line
from llmproxy.tools.top.view import View

SILENT_AFTER_S = 5.0
_LABEL = 9  # cells before a line of traffic
_AFTER = 20  # cells behind it


def header(
    view: View, state: ShownProxy, now: float, width: int, look: Look, *, brief: bool = False
) -> list[Text]:
    """Return the lines, at most `width` wide. `brief`: only the essential ones."""
    recent = state.recent
    if view.only is not None and view.groups:
        recent = view.groups[0].recent
    lines = [
        _first(view, state, now, width, look),
        one_line(_of_calls(view, state, recent), width, look.glyphs.ellipsis),
        one_line(_of_money(view, state, recent), width, look.glyphs.ellipsis),
        *_traffic(view, width, look, brief=brief),
    ]
    troubles = [
        Text(f"{look.glyphs.bad} {text}", "bold red") for text in _troubles(view, state, now)
    ]
    if view.notice is not None and now < view.notice[1]:
        troubles.append(Text(f"{look.glyphs.warning} {view.notice[0]}", "yellow"))
    return lines + [cut(line, width, look.glyphs.ellipsis) for line in troubles]


def _first(view: View, state: ShownProxy, now: float, width: int, look: Look) -> Text:
    word = "lost" if view.lost is not None else "silent" if _silent(view, now) else view.status
    status = look.state(word, word.upper())
    if view.only is not None:
        status.append(f" {readable(view.only)}", "bold")
    workers = f"{state.workers} workers" if state.workers > 1 else ""
    left = one_line(
        [
            (0, status),
            (1, Text(f"llmproxy {readable(state.version)}")),
            (2, Text(f"up {figures.duration(state.now - state.started_at)}")),
            (4, Text(workers)),
            (3, Text(f"{state.shared.instances} instances" if state.shared else "")),
            (5, Text(readable(state.config.source or ""), QUIET)),
        ],
        width - 10,
        look.glyphs.ellipsis,
    )
    clock = look.clock(now)
    left.pad_right(max(1, width - len(clock) - left.cell_len))
    return left.append(clock, QUIET)


def _silent(view: View, now: float) -> bool:
    return now - view.heard_at > SILENT_AFTER_S


def _of_calls(view: View, state: ShownProxy, recent: Recent) -> list[tuple[int, Text]]:
    in_flight = state.in_flight if view.only is None else sum(g.in_flight for g in view.groups)
    waiting = sum(group.waiting for group in view.groups)
    p50 = figures.milliseconds(recent.first_byte_p50_ms)
    p99 = figures.milliseconds(recent.first_byte_p99_ms)
    return [
        (0, _figure("calls", f"{figures.rate(recent.calls_per_s)}/s")),
        (1, _figure("errors", figures.share(recent.error_rate), error_style(recent.error_rate))),
        (2, _figure("first byte", f"p50 {p50} p99 {p99}")),
        (3, _figure("in flight", figures.count(in_flight))),
        (1 if waiting else 4, _figure("waiting", figures.count(waiting), _style_of(waiting))),
    ]


def _style_of(waiting: int) -> str:
    return "yellow" if waiting else ""


def _of_money(view: View, state: ShownProxy, recent: Recent) -> list[tuple[int, Text]]:
    totals = state.totals
    asked = totals.cache_hits + totals.cache_misses
    tokens = figures.count(recent.input_tokens + recent.output_tokens)
    spent = _spent(recent, "/min")
    parts = [(0, _figure("tokens", f"{tokens}/min")), (1, _figure("spend", spent))]
    if view.only is None:
        parts[1][1].append(f", {_spent(totals, ' in all')}")
        parts.append((3, _figure("calls in all", figures.count(totals.calls))))
    if asked:
        parts.append((2, _figure("cache hits", figures.share(totals.cache_hits / asked))))
    elif state.cache is None:
        parts.append((2, _figure("cache", "off")))
    return parts


def _spent(sums: Recent | Totals, when: str) -> str:
    """Return what calls have cost, and of which share of them that is known, if not of all."""
    unknown = sums.unknown_cost_calls
    if unknown and not sums.cost_usd:
        return f"unknown{when}"
    spent = f"{figures.dollars(sums.cost_usd)}{when}"
    if not unknown:
        return spent
    return f"{spent} (of {figures.share(1 - unknown / max(sums.calls, unknown))} of calls)"


def _figure(name: str, value: str, style: str = "") -> Text:
    return Text.assemble((f"{name} ", QUIET), (value, f"bold {style}".strip()))


def _traffic(view: View, width: int, look: Look, *, brief: bool) -> list[Text]:
    """Return a line of calls and, if there are errors, one of errors, each on its own scale."""
    if not view.points:
        return []
    most = max(point.calls for point in view.points) / view.step_s
    room = max(0, min(width - _LABEL - _AFTER, len(view.points)))
    latest = view.points[len(view.points) - room :]
    span = figures.seconds(room * view.step_s)
    errors = [point.errors for point in latest]
    drawn = line_of([p.calls for p in latest], room, max(most * view.step_s, 1), look.glyphs)
    lines = [_drawn("traffic", drawn, "cyan", f" {span}, most {figures.rate(most)}/s")]
    if any(errors) and not brief:
        drawn = line_of(errors, room, max(errors), look.glyphs)
        after = f" most {figures.count(max(errors))} in {view.step_s:.0f}s"
        lines.append(_drawn("errors", drawn, "red", after))
    return [cut(line, width, look.glyphs.ellipsis) for line in lines]


def _drawn(name: str, drawn: str, style: str, after: str) -> Text:
    return Text.assemble((name.ljust(_LABEL), QUIET), (drawn, style), (after, QUIET))


def _troubles(view: View, state: ShownProxy, now: float) -> list[str]:
    troubles = []
    if view.lost is not None:
        ago = figures.duration(now - view.lost[0])
        troubles.append(f"Connection lost {ago} ago, trying again. {readable(view.lost[1])}")
    elif _silent(view, now):
        troubles.append(f"The proxy has sent nothing for {figures.duration(now - view.heard_at)}.")
    if view.only is not None and not view.groups:
        troubles.append(f"There is no group {readable(view.only)!r} any longer.")
    if state.config.error is not None:
        first, *others = state.config.error.splitlines() or [""]
        more = f" (and {len(others)} more)" if others else ""
        troubles.append(f"The changed config was rejected{more}: {readable(first)}")
    if state.shared is not None and not state.shared.connected:
        why = readable(state.shared.why or "unknown reason")
        troubles.append(f"Shared view lost for {figures.duration(state.shared.since_s)}: {why}")
    store = None if state.cache is None else state.cache.store
    if store is not None and not store.connected:
        troubles.append(
            f"The cache's store is unreachable: {readable(store.why or 'unknown reason')}"
        )
    return troubles
