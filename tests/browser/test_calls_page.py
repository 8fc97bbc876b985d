"""The page Calls: what it looks for stands in the address, and each call leads to its trace."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.made_up import attempt
from tests.browser.reading import COVERED, violations


@pytest.fixture
def calls(page_at):
    return page_at("calls")


def rows_of(page):
    return page.locator("#calls table.data tbody tr")


def test_calls_are_found_paged_and_exported_by_the_address(calls, world, photo):
    refused = {
        **world.calls[0],
        **{"id": "req_refused", "status": 404, "error": "model_not_found", "group": None},
        **{"model": "gpt-9", "endpoint": None, "steps": [], "cost_usd": None},
    }
    world.calls.insert(0, refused)
    page = calls()
    expect(rows_of(page)).to_have_count(50)
    expect(rows_of(page).first).to_contain_text("gpt-9")
    expect(rows_of(page).first).to_contain_text("404 model_not_found")
    page.get_by_role("button", name="Show more").click()
    expect(rows_of(page)).to_have_count(81)
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()

    page.get_by_label("Filter by").select_option("status")
    page.get_by_role("textbox", name="Only").fill("4xx")
    page.keyboard.press("Enter")
    expect(rows_of(page)).to_have_count(1)
    assert page.url.endswith("/dashboard/calls?status=4xx")
    csv = page.get_by_role("link", name="Export CSV")
    expect(csv).to_have_attribute("href", re.compile(r"/admin/calls\.csv\?status=4xx$"))
    page.get_by_role("button", name="Remove the filter status").click()
    expect(rows_of(page)).to_have_count(50)
    page.go_back()
    expect(rows_of(page)).to_have_count(1)
    page.reload()
    expect(rows_of(page)).to_have_count(1)
    page.goto(page.url.replace("4xx", "9xx"))
    expect(page.locator("#calls .nothing")).to_contain_text("No call matches these filters")


def test_the_list_goes_on_by_itself_until_it_is_paused(calls, world):
    page = calls("?status=5xx")
    world.calls = []
    expect(page.locator("#calls .nothing")).to_be_visible(timeout=15_000)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("status").filter(has_text="Paused.")).to_be_visible()


def test_a_trace_says_who_asked_for_what_and_how_long_it_waited(calls, world, photo):
    said = {"message": "status 503: no capacity in eastus2", "upstream_id": "az-4711"}
    failed = attempt("azure-west", 731.0, 4.0, outcome="failed", reason="server_error", status=503)
    world.calls[0] |= {
        **{"model": "gpt-9", "upstream_id": "chatcmpl-77", "team": "search"},
        "steps": [attempt("azure-east", 396.0, 335.0), failed | said],
    }
    page = calls(f"#call={world.calls[0]['id']}")
    trace = page.get_by_role("dialog", name="Call")
    expect(trace).to_contain_text("chatcmpl-77")
    expect(trace).to_contain_text("gpt-9")
    steps = trace.get_by_role("listitem")
    expect(steps.first).to_contain_text("waited: for its body, capacity or a permit")
    expect(steps.first).to_contain_text("396")
    expect(steps.last).to_contain_text("no capacity in eastus2")
    expect(steps.last).to_contain_text("vendor's id az-4711")
    assert violations(page, "dialog", COVERED) == []
    photo(page, "calls-trace", full=False)
    page.keyboard.press("Escape")
    expect(trace).to_have_count(0)
    for width, theme in ((1024, "dark"), (390, "light")):
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=theme)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert violations(page, "#calls") == []
        photo(page, f"calls-{width}", full=False)
