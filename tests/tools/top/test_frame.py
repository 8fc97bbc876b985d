"""A view is drawn in any size, whatever it contains."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from llmproxy.tools.top.look import ASCII, Look
from tests.support.examples import examples
from tests.tools.top import made_up
from tests.tools.top.made_up import NOW
from tests.tools.top.views import calls, drawn, history, line_with, state, view

LOST_STORE = {"connected": False, "why": "Connection refused"}
TROUBLES = {
    "shared": {"connected": False, "instances": 2, "why": "Connection refused", "since_s": 12.0},
    "config": {"source": "llmproxy.yaml", "error": "line 4: unknown key 'modle'\nline 9: wrong"},
    "cache": {"entries": 0, "bytes": 0, "store": LOST_STORE},
}


def ill(**changes):
    return state(made_up.ill(), status="degraded", **changes)


def test_the_header_tells_how_the_proxy_is():
    lines = drawn(view())
    assert lines[0].startswith("● OK  llmproxy 0.1.0  up 2d 7h  4 workers  llmproxy.yaml")
    assert lines[0].endswith("16:00:00")
    assert lines[1].startswith("calls 18.4/s  errors 0.4%  first byte p50 394ms p99 1.6s")
    assert "in flight 9" in lines[1]
    assert lines[2] == "tokens 1.5M/min  spend $2.21/min, $1,873 in all  cache hits 23%"
    assert "4m, most 19.8/s" in lines[3]
    assert lines[4].startswith("errors")
    assert lines[4].endswith("most 3 in 5s")
    assert lines[-1].startswith("q leaves.")


@pytest.mark.parametrize(
    ("cost_usd", "unknown", "spend"),
    [
        (1_873.4, 0, "$2.21/min, $1,873 in all"),
        (1_873.4, 203_086, "$2.21/min, $1,873 in all (of 75% of calls)"),
        (0, 812_345, "$2.21/min, unknown in all"),
    ],
)
def test_a_sum_that_lacks_calls_says_how_many_it_has(cost_usd, unknown, spend):
    totals = made_up.state()["totals"] | {"cost_usd": cost_usd, "unknown_cost_calls": unknown}
    lines = drawn(view(state(totals=totals), history(), calls()), width=120)
    assert f"spend {spend}  calls in all" in lines[2]


def test_each_endpoint_has_its_figures():
    lines = drawn(view(ill()))
    head = "ENDPOINT STATE T W BUSY REQUESTS TOKENS CALLS ERR P50 P99"
    assert spaced(line_with("ENDPOINT", lines)) == head
    east = "azure-east ▲ cooling 42s 0 2 0 ██· 62% ▌·· 10% 0 - - -"
    assert spaced(line_with("azure-east", lines)) == east
    assert spaced(line_with("✖ open 12s", lines)).endswith(" 9 100% 394ms 1.6s")
    assert line_with("└ breaker open", lines).strip() == "└ breaker open for 12.0 s more"
    assert line_with("vllm-local", lines).split()[5] == "53/64"
    assert line_with("○ drained", lines).split()[0] == "openai"
    assert line_with("wait for room", lines).strip() == "└ 3 calls wait for room"


def test_room_brings_columns_and_takes_the_reasons_into_their_rows():
    lines = drawn(view(ill()), 200, 40)
    head = line_with("GROUP, ENDPOINT", lines)
    for title in ("TIER", "WEIGHT", "BREAKER", "REQ LEFT", "TOK LEFT", "WHY"):
        assert title in head
    assert "372/600" in line_with("▲ cooling 42s", lines)
    assert line_with("▲ cooling", lines).endswith("throttled, cooling down for 42.0 s more")
    assert not any("└" in line for line in lines)


def test_the_latest_calls_tell_what_was_out_of_the_ordinary():
    lines = drawn(view(), 160, 40)
    moved = spaced(line_with("15:59:08", lines))
    assert moved.startswith("15:59:08 200 chat/completions gpt-4.1 → openai 412ms 2.3s")
    assert "▲ 2 attempts" in moved
    failed = line_with("no_endpoint_available", lines)
    assert failed.split()[1] == "503"
    assert "✖" in failed
    assert "▲ fallback gpt-4.1-mini, 2 attempts" in line_with("fallback", lines)
    assert "1,204+311" in line_with("embeddings", lines)
    assert "cache hit" in line_with("0.2ms", lines)


@pytest.mark.parametrize("changes", [{name: TROUBLES[name]} for name in TROUBLES], ids=[*TROUBLES])
def test_a_trouble_has_a_line(changes):
    before, lines = drawn(view(state())), drawn(view(state(**changes)))
    (banner,) = [line for line in lines if line.startswith("✖")]
    assert banner not in before
    assert "Connection refused" in banner or "(and 1 more): line 4: unknown key 'modle'" in banner


def test_a_call_without_group_or_times_is_drawn():
    bare = made_up.call(
        1, status=404, **dict.fromkeys(("id", "group", "endpoint", "first_byte_ms"))
    )
    line = line_with("15:59:01", drawn(view(state(), calls(bare)), 160))
    assert line.split()[:4] == ["15:59:01", "404", "chat/completions", "-"]


def test_one_group_has_the_figures_of_that_group():
    groups = [made_up.group("a", made_up.endpoint("x")), *made_up.well()]
    lines = drawn(view(state(groups), calls(*made_up.calls()), only="a"))
    assert lines[0].startswith("● OK a  llmproxy")
    assert lines[1].startswith("calls 2.0/s  errors 0%")
    assert "in flight 3" in lines[1]
    assert not any("gpt-4.1" in line for line in lines)


def test_where_lines_are_few_those_in_trouble_are_shown_and_the_others_counted():
    many = [made_up.endpoint(f"fine-{n}") for n in range(40)]
    many.insert(30, made_up.endpoint("ill", "open", why="breaker open for 3.0 s more"))
    groups = [made_up.group("big", *many), made_up.group("last", made_up.endpoint("one"))]
    lines = drawn(view(state(groups), calls(*made_up.calls())))
    assert "✖ open" in line_with(" ill ", lines)
    assert line_with("└", lines)
    shown = sum("fine-" in line for line in lines)
    assert f"… {41 - shown} more endpoints" in "\n".join(lines)
    assert len([line for line in lines if line.startswith("15:59")]) == 3, "and some calls"


def test_where_lines_are_few_the_idle_ones_are_left_out_first():
    idle = [made_up.endpoint(f"idle-{n}", recent=made_up.recent(0)) for n in range(40)]
    lines = drawn(view(state([made_up.group("big", *idle, made_up.endpoint("busy"))])))
    assert line_with("  busy", lines)


def test_what_is_out_of_sight_and_in_trouble_is_counted_too():
    opened = [made_up.endpoint(f"ill-{n}", "open") for n in range(40)]
    lines = drawn(view(state([made_up.group("big", *opened)])))
    shown = sum("ill-" in line for line in lines)
    hidden = 40 - shown
    assert f"… {hidden} more endpoints; not ok: {hidden}" in lines


def test_a_proxy_without_groups_or_calls_is_drawn():
    lines = drawn(view(state([])))
    assert "There is no model group to show." in lines
    assert len(lines) == 24


def test_nothing_is_drawn_before_anything_is_known():
    assert drawn(view(history())) == []


def test_without_a_height_everything_is_drawn():
    lines = drawn(view(ill(**TROUBLES), history(), calls(*made_up.calls())), 160, None)
    assert sum("azure" in line for line in lines) > 4
    assert not any("q leaves" in line for line in lines)


def test_nothing_that_a_terminal_obeys_is_passed_on():
    evil = "\x1b[2J\x9b\r\n\x07\N{RIGHT-TO-LEFT OVERRIDE}"
    groups = [made_up.group(evil, made_up.endpoint(evil, evil, why=evil, breaker=evil))]
    config = {"source": evil, "error": evil}
    shared = {"connected": False, "instances": 1, "why": evil, "since_s": 1.0}
    store = {"store": {"connected": False, "why": evil}}
    bad = state(groups, version=evil, config=config, shared=shared, cache=store)
    names = ("request", "group", "endpoint", "caller", "error", "cache", "fallback", "id")
    seen = view(bad, calls(made_up.call(1, **dict.fromkeys(names, evil))))
    lost = view(bad, only=evil)
    for lines in (drawn(seen, 300), drawn(lost, 300)):
        assert all(line.isprintable() for line in lines)


def test_where_only_ascii_can_be_written_only_ascii_is():
    seen = view(ill(**TROUBLES), history(), calls(*made_up.calls()))
    lines = drawn(seen, look=Look(ASCII))
    assert all(line.isascii() for line in lines)


def spaced(line):
    """With one space where there are more."""
    return " ".join(line.split())


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@examples(150)
@given(st.integers(1, 220), st.integers(1, 60), st.integers(0, 30), names, st.booleans())
def test_no_line_is_wider_and_no_frame_longer_than_the_terminal(width, height, more, name, lost):
    extra = [made_up.group(f"{name}{n}", made_up.endpoint(name, "open")) for n in range(more)]
    shown = state([*made_up.ill(), *extra], **(TROUBLES if lost else {}))
    named = made_up.call(1, group=name, endpoint=name, caller=name, request=name, error=name)
    seen = view(shown, history(), calls(*made_up.calls(), named))
    lines = drawn(seen, width, height, now=NOW + 100 * lost)
    assert len(lines) == height
    assert all(cell_len(line) <= width for line in lines)
