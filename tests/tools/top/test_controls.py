"""Keys in `llmproxy top`: they choose, filter, sort, look into, and ask before they act."""

import pytest

from llmproxy.tools.top.controls import (
    Command,
    Controls,
    EndpointAction,
    Order,
    Page,
    Row,
    rows_of,
    shown_groups,
)
from llmproxy.tools.top.screen import keys_in
from tests.tools.top import made_up
from tests.tools.top.views import drawn, groups, line_with, press, state, view

EAST = Row("gpt-4.1", "azure-east")


def names(controls):
    return [row.endpoint or row.group for row in rows_of(shown_groups(groups(), controls))]


def test_the_arrows_choose_a_line_and_stop_at_the_ends():
    assert press(["down"])[0].chosen == Row("gpt-4.1")
    assert press(["down", "j"])[0].chosen == EAST
    assert press(["down", "down", "up", "k", "k"])[0].chosen == Row("gpt-4.1")
    assert press(["page down", "down"])[0].chosen == Row("gpt-4o", "openai")
    assert press(["end", "home"])[0].chosen == Row("gpt-4.1")


def test_a_filter_keeps_what_has_the_text_in_its_name_or_state():
    assert names(press(["/", *"WEST"])[0]) == ["gpt-4.1", "azure-west"]
    assert names(press(["/", *"4o"])[0]) == ["gpt-4o", "openai"]
    assert names(press(["/", *"open"])[0]) == ["gpt-4.1", "azure-west", "gpt-4o", "openai"]
    assert names(press(["/", *"nothing"])[0]) == []
    assert names(press(["/", *"westx", "backspace", "enter"])[0]) == ["gpt-4.1", "azure-west"]
    assert len(names(press(["/", *"west", "escape"])[0])) == 5


def test_letters_of_a_filter_are_no_commands():
    controls, commands = press(["down", "down", "/", *"dqucsy"])

    assert (controls.filter, commands) == ("dqucsy", [])


@pytest.mark.parametrize(
    ("presses", "first"),
    [(1, "azure-west"), (2, "openai"), (3, "azure-west")],
    ids=["in trouble", "most calls", "most errors"],
)
def test_s_sorts(presses, first):
    shown = names(press(["s"] * presses)[0])

    assert next(name for name in shown if "-4" not in name) == first


def test_s_comes_back_to_the_order_of_the_config():
    assert press(["s"] * len(Order))[0].order is Order.CONFIG


def test_enter_looks_into_a_group_and_then_an_endpoint_and_escape_goes_back():
    group, _ = press(["down", "enter"])
    assert names(group) == ["gpt-4.1", "azure-east", "azure-west"]
    endpoint, _ = press(["down", "enter"], group)
    assert (endpoint.page, endpoint.chosen) == (Page.ENDPOINT, EAST)
    assert len(names(press(["escape", "escape"], endpoint)[0])) == 5


@pytest.mark.parametrize(
    ("key", "action"),
    [("d", EndpointAction.DRAIN), ("u", EndpointAction.ENABLE), ("c", EndpointAction.CLEAR)],
)
def test_an_action_needs_an_endpoint_and_a_yes(key, action):
    assert press([key, "y"])[1] == []
    assert press(["down", key, "y"])[1] == [], "a group is no endpoint"
    assert press(["down", "down", key, "n"])[1] == []
    assert press(["down", "down", key, "y"])[1] == [Command(action, EAST)]
    assert press(["down", "down", "enter", key, "y"])[1] == [Command(action, EAST)]


def test_the_question_says_what_happens():
    asking, _ = press(["down", "down", "d"])

    last = drawn(view(), controls=asking)[-1]

    assert last.startswith("[y/n] Drain azure-east of gpt-4.1? It gets no new calls;")


def test_the_help_names_every_key_and_what_the_bars_mean():
    lines = "\n".join(drawn(view(), controls=press(["?"])[0]))

    for key in ("up, down", "Enter", "Tab", "/", "s ", "d ", "u ", "c ", "q, Ctrl+C"):
        assert f"  {key}" in lines
    assert "what is LEFT of a limit" in lines
    assert "…" not in lines, "all of it fits 80 columns"
    assert lines.rstrip().endswith("q leaves.  Any other key goes back.")
    assert press(["?", "x"])[0].page is Page.LIST


def test_the_chosen_one_of_sixty_endpoints_is_on_the_screen():
    many = [made_up.group("big", *(made_up.endpoint(f"e{number:02}") for number in range(60)))]
    seen = view(state(many))
    controls = Controls(chosen=Row("big", "e37"))

    lines = drawn(seen, 80, 24, controls=controls)

    assert len(lines) == 24
    assert line_with("e37", lines)
    assert "lines above" in "\n".join(lines)
    assert "lines below" in "\n".join(lines)


def test_the_page_of_an_endpoint_has_its_limits_as_what_is_left():
    (east,) = [made_up.group("gpt-4.1", made_up.endpoint("azure-east"))]
    seen = view(state([east]))

    lines = drawn(seen, controls=Controls(page=Page.ENDPOINT, chosen=EAST))

    assert "62% left: 372 of 600" in line_with("requests", lines)
    assert "10% left: 20k of 200k" in line_with("tokens", lines)
    assert "no limit known" in line_with("at a time", lines)


def test_an_endpoint_that_is_gone_is_told():
    controls = Controls(page=Page.ENDPOINT, chosen=Row("gpt-4.1", "gone"))

    assert "It is not in the config any longer." in drawn(view(), controls=controls)


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        ("\x1b[A\x1b[B", ["up", "down"]),
        ("\x1bOA", ["up"]),
        ("\x1b[5~\x1b[6~", ["page up", "page down"]),
        ("\x1b", ["escape"]),
        ("\t", ["tab"]),
        ("\r\x7fq", ["enter", "backspace", "q"]),
        ("é?", ["é", "?"]),
        ("\x1b[1;5C", ["\x1b[1;5C"]),
    ],
)
def test_what_a_terminal_sends_are_keys(sent, keys):
    assert keys_in(sent) == keys


def test_an_endpoint_that_only_failed_is_not_said_to_have_had_no_calls():
    east = made_up.endpoint("azure-east", "misconfigured", recent=made_up.recent(1, 1))
    shown = state([made_up.group("gpt-4.1", east)])
    controls = Controls(page=Page.ENDPOINT, chosen=EAST)

    lines = "\n".join(drawn(view(shown), controls=controls))

    assert "1 attempt," in lines
    assert "None of the latest calls asked it." in lines
