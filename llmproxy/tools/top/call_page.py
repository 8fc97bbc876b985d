"""The page of one call: what was asked, what came of it, and each step on its way. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from rich.text import Text

from llmproxy.tools.top import figures
from llmproxy.tools.top.calls import status_of, tokens_of, way_of
from llmproxy.tools.top.look import QUIET, Look
from llmproxy.tools.top.pages import LABEL_CELLS, fact
from llmproxy.tools.top.payloads import ShownStep, Trace, readable

STEP_CELLS = 10


def call_page(call: Trace | None, width: int, look: Look) -> list[Text]:
    """Return everything that is known of a call; None: it is too old to be kept here."""
    if call is None:
        return [Text("This call is not among the latest any longer.", "yellow")]
    title = Text(readable(call.request), "bold").append("  ").append(status_of(call))
    steps = [line for step in call.steps for line in _step(step, width, look)]
    return [title, Text(), *_facts(call, look), Text(), Text("Steps", "bold"), *(steps or _none())]


def _none() -> list[Text]:
    return [Text("  No endpoint was asked.", QUIET)]


def _facts(call: Trace, look: Look) -> Iterator[Text]:
    yield fact("ended at", Text(look.clock(call.at)))
    asked = readable(call.model or figures.NONE) + (", as a stream" if call.stream else "")
    yield fact("asked for", Text(asked))
    yield fact("group", way_of(call, look))
    if call.fallback is not None:
        yield fact("fallback", Text(readable(call.fallback), "yellow"))
    if call.error is not None:
        whose = "" if call.error_source is None else f", of the {readable(call.error_source)}"
        yield fact("error", Text(readable(call.error).replace("_", " ") + whose, "red"))
    if call.cache is not None:
        yield fact("cache", Text(readable(call.cache)))
    who = [readable(part) for part in (call.caller, call.client) if part]
    yield fact("caller", Text(" from ".join(who) or figures.NONE))
    total = figures.milliseconds(call.total_ms)
    yield fact("first, total", Text(f"{figures.milliseconds(call.first_byte_ms)}, {total}"))
    own, waited = figures.milliseconds(call.overhead_ms), figures.milliseconds(call.waited_ms)
    yield fact("of the first", Text(f"{own} in the proxy, {waited} waiting for others"))
    cost = "" if call.cost_usd is None else f", {figures.dollars(call.cost_usd)}"
    cached = f", {figures.count(call.cached_tokens)} cached" if call.cached_tokens else ""
    yield fact("tokens", Text(f"{tokens_of(call) or figures.NONE}{cached}{cost}"))
    yield fact("id", Text(readable(call.id or figures.NONE)))
    if call.upstream_id is not None:
        yield fact("vendor's id", Text(readable(call.upstream_id)))
    if call.id is not None:
        yield fact("find it", Text(f"grep {readable(call.id)} in the access log", QUIET))


def _step(step: ShownStep, width: int, look: Look) -> Iterator[Text]:
    """Yield what happened, and below it what the endpoint said."""
    at = f"+{figures.milliseconds(step.at_ms)}"
    yield Text.assemble((f"  {at:>{STEP_CELLS}}  ", QUIET), _what(step, look))
    for line in wrap(readable(step.message or ""), max(20, width - LABEL_CELLS - 4)):
        yield Text(f"  {'':{STEP_CELLS}}  {line}", "yellow")


def _what(step: ShownStep, look: Look) -> Text:
    name, why = readable(step.endpoint or ""), readable(step.why or "")
    match step.what:
        case "attempt":
            beside = " (beside a silent one)" if step.hedge else ""
            line = Text(f"{name}{beside}: ")
            status = "" if step.status is None else f", status {step.status}"
            took = "" if step.ms is None else f" after {figures.milliseconds(step.ms)}"
            good = step.outcome == "answered"
            mark = look.glyphs.ok if good else look.glyphs.bad
            style = "green" if good else "red"
            line.append(f"{mark} {readable(step.outcome or '')}{took}{status}", style)
            reason = readable(step.reason or "").replace("_", " ")
            after = [part for part in (reason, readable(step.verdict or "")) if part]
            return line.append(f" ({'; '.join(after)})" if after else "")
        case "skipped":
            return Text(f"{name}: passed over, {why}", QUIET)
        case "fallback":
            return Text(f"fallback: {why or name}", "yellow")
    return Text(f"{readable(step.what)} {name}: {why}")
