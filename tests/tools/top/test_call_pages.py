"""The calls in `llmproxy top`: a list, a page for each one, and an endpoint's last failure."""

from llmproxy.tools.top.controls import Controls, Page, Row
from tests.tools.top import made_up
from tests.tools.top.views import calls, drawn, line_with, press, state, view

EAST = Row("gpt-4.1", "azure-east")
WORDS = "status 401 invalid_api_key: Incorrect API key provided: ***. " + "Look at your keys. " * 8
REFUSED = made_up.attempt("azure-east", "failed") | {
    "status": 401,
    "reason": "credential_rejected",
    "verdict": "next endpoint",
    "message": WORDS,
}
FULL = {"what": "skipped", "endpoint": "azure-west", "at_ms": 0.1, "why": "full for 3.2 s more"}
MOVED = made_up.call(
    7,
    model="gpt-4.1",
    endpoint="openai",
    upstream_id="req_of_the_vendor",
    steps=[FULL, REFUSED, made_up.attempt("openai") | {"hedge": True, "status": 200}],
)
CALLS = calls(made_up.call(9), MOVED, made_up.call(3, group="gpt-4o", endpoint="openai")).calls


def chosen(controls):
    return None if controls.call is None else controls.call[0]


def page_of(call, width=100):
    (kept,) = calls(call).calls
    controls = Controls(page=Page.CALL, call=kept.key)
    return drawn(view(state(), calls(call)), width, 40, controls=controls)


def test_tab_lists_the_calls_and_enter_looks_into_one():
    newest, moved, oldest = (call.id for call in CALLS)

    assert press(["tab"], calls=CALLS)[0].page is Page.CALLS
    assert press(["tab", "tab"], calls=CALLS)[0].page is Page.LIST
    assert chosen(press(["tab", "down"], calls=CALLS)[0]) == newest
    assert chosen(press(["tab", "down", "down", "j", "j"], calls=CALLS)[0]) == oldest
    looked, _ = press(["tab", "down", "down", "enter"], calls=CALLS)
    assert (looked.page, chosen(looked)) == (Page.CALL, moved)
    assert press(["escape"], looked, calls=CALLS)[0].page is Page.CALLS
    assert press(["escape", "escape"], looked, calls=CALLS)[0].page is Page.LIST
    assert press(["tab", "enter"], calls=CALLS)[0].page is Page.CALLS, "no call is chosen"


def test_an_endpoints_calls_are_those_that_asked_it_also_in_vain():
    controls, _ = press(["down", "down", "tab", "end"], calls=CALLS)

    assert controls.chosen == EAST
    assert chosen(controls) == MOVED["id"], "the third call asked another group"


def test_calls_are_filtered_by_what_they_say():
    for text, found in (("4o", CALLS[2]), (CALLS[1].id[-6:], CALLS[1]), ("checkout", CALLS[2])):
        controls, _ = press(["tab", "/", *text, "enter", "end"], calls=CALLS)
        assert chosen(controls) == found.id
    controls, _ = press(["tab", "/", *"nothing", "enter", "end"], calls=CALLS)
    assert chosen(controls) is None
    assert "There are no such calls" in drawn(view(), controls=controls)[0]


def test_no_action_is_taken_at_an_endpoint_that_is_not_shown():
    for keys in (["d", "y"], ["down", "enter", "d", "y"]):
        assert press(["down", "down", "tab", *keys], calls=CALLS)[1] == []


def test_the_chosen_one_of_many_calls_is_on_the_screen():
    many = calls(*(made_up.call(number) for number in range(150, 0, -1)))
    controls = Controls(page=Page.CALLS, call=many.calls[100].key)

    lines = drawn(view(state(), many), 200, 24, controls=controls)

    assert len(lines) == 24
    assert line_with(many.calls[100].id, lines)


def test_the_page_of_a_call_tells_each_step_and_the_vendors_words():
    lines = page_of(MOVED)

    text = " ".join(" ".join(lines).split())
    assert "openai" in line_with("group  ", lines)
    assert "passed over, full for 3.2 s more" in line_with("azure-west", lines)
    refused = line_with("azure-east: ", lines)
    assert "failed after 120ms, status 401 (credential rejected; next endpoint)" in refused
    assert "invalid_api_key: Incorrect API key" in text
    assert text.count("Look at your keys.") == 8, "long words are wrapped, not cut"
    assert "openai (beside a silent one): ● answered" in text
    assert "req_of_the_vendor" in text
    assert f"grep {MOVED['id']} in the access log" in text


def test_a_call_without_an_endpoint_an_id_or_tokens_is_told_so():
    nothing = {"first_byte_ms": None, "input_tokens": None, "output_tokens": None}
    lines = page_of(
        made_up.call(7, id=None, status=503, error="no_endpoint_available", error_source="proxy")
        | {"endpoint": None, "cost_usd": None, "steps": [], **nothing}
    )

    assert "no endpoint available, of the proxy" in line_with("error", lines)
    assert "No endpoint was asked." in "\n".join(lines)
    assert "access log" not in "\n".join(lines)


def test_a_call_that_is_no_longer_kept_is_told():
    controls = Controls(page=Page.CALL, call=("gone", 0.0))

    assert "This call is not among the latest any longer." in drawn(view(), controls=controls)


def test_characters_of_a_vendor_move_no_cursor():
    odd = REFUSED | {"message": "a\x1b[2Jb\r\nc"}

    assert "\x1b" not in "\n".join(page_of(made_up.call(7, steps=[odd])))


def test_the_page_of_an_endpoint_has_its_last_failure_and_what_to_do():
    east = made_up.endpoint("azure-east", "misconfigured", recent=made_up.recent(1, 1))
    seen = view(state([made_up.group("gpt-4.1", east)]), calls(MOVED))

    lines = drawn(seen, 80, 40, controls=Controls(page=Page.ENDPOINT, chosen=EAST))

    assert "status 401 invalid_api_key: Incorrect" in line_with("last failure", lines)
    assert line_with(f"call {MOVED['id']}", lines)
    assert "llmproxy doctor --live" in line_with("what to do", lines)
    assert "…" not in line_with("what to do", lines)


def test_a_page_that_does_not_fit_scrolls_and_folds():
    steps = [REFUSED | {"endpoint": f"endpoint-{number}"} for number in range(9)]
    (kept,) = calls(made_up.call(7, steps=steps)).calls
    seen = view(state(), calls(made_up.call(7, steps=steps)))
    controls = Controls(page=Page.CALL, call=kept.key)

    first = drawn(seen, 40, 24, controls=controls)
    further, _ = press(["page down"] * 20, controls)
    last = drawn(seen, 40, 24, controls=further)

    assert len(first) == len(last) == 24
    assert max(len(line) for line in first + last) <= 40
    assert "more lines: down, Page Down" in first[-2]
    assert not any("endpoint-8" in line for line in first)
    assert any("endpoint-8" in line for line in last)
    assert "more lines" not in "\n".join(last)
    assert kept.id in "".join(line.strip() for line in first), "it is folded, not cut"
    back, _ = press(["up"] * 200, further)
    assert drawn(seen, 40, 24, controls=back) == first
    assert press(["escape"], further)[0].scrolled == 0


def test_the_help_scrolls_where_it_does_not_fit():
    further, _ = press(["?", "page down", "down"])

    assert further.page is Page.HELP
    shown = " ".join(" ".join(drawn(view(), 40, 24, controls=further)).split())
    assert "first byte are those of the last minute." in shown
    assert press(["x"], further)[0].page is Page.LIST
