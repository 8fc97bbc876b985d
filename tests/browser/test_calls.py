"""The list of calls, and the trace of one."""

import re

from playwright.sync_api import expect

from tests.browser.made_up import CHANGES, trace


def call_of(world, kind):
    """A call of a kind, on top of the others."""
    import random

    call = trace(9_000, world.began_at, incident=False) | {"group": "gpt-4.1"}
    call |= CHANGES[kind](call, random.Random(1))
    call |= {"id": f"req_{kind}"}
    world.calls.insert(0, call)
    world.empty = True  # no more arrive
    return call


def test_new_calls_appear_on_top(visit):
    page = visit()
    rows = page.locator(".calls tbody tr")
    expect(rows).to_have_count(50)
    before = rows.first.get_attribute("data-id")
    expect(rows.first).not_to_have_attribute("data-id", before)
    expect(rows).to_have_count(50)


def test_the_list_of_calls_pauses_while_the_pointer_is_on_it(visit):
    page = visit()
    rows = page.locator(".calls tbody tr")
    rows.nth(3).hover()
    before = rows.first.get_attribute("data-id")
    expect(page.locator("#calls-note")).to_have_text(re.compile(r"paused while you look · \d+ new"))
    assert rows.first.get_attribute("data-id") == before
    page.locator("#headline").hover()
    expect(rows.first).not_to_have_attribute("data-id", before)
    expect(page.locator("#calls-note")).to_have_text("")


def test_the_trace_shows_each_step_with_its_time_its_reason_and_what_followed(visit, world, photo):
    call_of(world, "fallback")
    page = visit()
    page.locator(".calls tbody tr").first.click(position={"x": 400, "y": 10})
    panel = page.get_by_role("dialog", name="Call")
    steps = panel.get_by_role("listitem")
    expect(steps).to_have_count(4)
    expect(steps.nth(0)).to_contain_text("azure-east skipped: cooling (throttled) for 12.0 s")
    expect(steps.nth(1)).to_contain_text(
        "azure-west failed: server_error, 503; then: next endpoint"
    )
    expect(steps.nth(1)).to_contain_text("212 ms")
    expect(steps.nth(2)).to_contain_text("fallback to group gpt-4.1-mini")
    expect(steps.nth(3)).to_contain_text("openai answered, 200")
    expect(panel).to_contain_text("Upstream and waiting")
    expect(panel.locator("code")).to_have_text("req_fallback")
    photo(page, "trace", full=False)


def test_a_cached_call_shows_why_it_has_no_steps(visit, world):
    call_of(world, "cached")
    page = visit(at="#call=req_cached")
    expect(page.get_by_role("dialog")).to_contain_text("the answer came from the cache")


def test_an_address_opens_a_trace_and_closing_it_resets_the_address(visit, world):
    call_of(world, "failed")
    page = visit(at="#call=req_failed")
    panel = page.get_by_role("dialog", name="Call")
    expect(panel).to_contain_text("503 no_endpoint_available")
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    assert "#" not in page.url
    page.evaluate("location.hash = '#call=req_failed'")
    expect(panel).to_be_visible()
    panel.get_by_role("button", name="Close").click()
    expect(panel).to_have_count(0)


def test_an_unknown_call_is_reported_as_not_found(visit, world):
    page = visit(at="#call=req_%3Cb%3Egone", expected=["404"])
    expect(page.get_by_role("alert")).to_contain_text("Call 'req_<b>gone' not found")


def test_an_id_is_copied(visit, world):
    call_of(world, "failed")
    page = visit(at="#call=req_failed")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy id").click()
    expect(page.locator("#toasts")).to_have_text("Copied the id.")
    assert page.evaluate("navigator.clipboard.readText()") == "req_failed"


def test_the_filter_shows_only_errors_and_retries(visit, world):
    world.incident = True
    world.more_calls(60)
    page = visit()
    with page.expect_response(lambda response: "notable=true" in response.url):
        page.get_by_label("Errors and retries only").check()
    outcomes = page.locator(".calls tbody .outcome")
    expect(page.locator('.calls tr[data-tone="ok"]')).to_have_count(0)
    words = outcomes.all_text_contents()
    assert words and all("attempts" in word or "503" in word for word in words)


def test_choosing_a_group_shows_only_its_calls(visit):
    page = visit()
    page.get_by_label("Group").select_option("text-embedding-3-small")
    expect(page.locator(".calls tbody .what", has_text="gpt")).to_have_count(0)
    page.wait_for_timeout(1200)  # others have arrived meanwhile
    names = page.locator(".calls .what > bdi").all_text_contents()
    assert set(names) == {"text-embedding-3-small"}


def test_before_the_first_call_the_page_shows_how_to_make_it(visit, world, photo):
    world.empty = True
    world.calls = []
    page = visit()
    expect(page.locator("#latest-calls")).to_contain_text("No calls yet")
    expect(page.locator("#headline")).to_have_text("No calls yet: 8 endpoints are ready")
    expect(page.locator("#first-call pre")).to_contain_text(
        re.compile(r"curl http://127.0.0.1:\d+/v1/chat")
    )
    expect(page.locator("#first-call pre")).to_contain_text('"model": "gpt-4.1"')
    expect(page.locator("#charts")).to_contain_text("No calls in this time.")
    photo(page, "empty")
    world.empty = False
    expect(page.locator(".calls tbody tr").first).to_be_visible()
    expect(page.locator("#first-call")).to_be_hidden()
