"""The focus stays where it is when the proxy answers late: no key that is pressed is lost."""

from contextlib import contextmanager

import pytest
from playwright.sync_api import expect


@contextmanager
def held(page, path):
    """Hold back the answers to requests for a path; afterwards let them go and wait for them."""
    waiting, holding = [], True

    def hold(route):
        if holding:
            waiting.append(route)
        else:
            route.continue_()

    page.route(path, hold)
    yield
    assert waiting, "nothing was asked for"
    holding = False
    for route in waiting:
        with page.expect_response(route.request.url):
            route.continue_()


def test_a_row_of_spend_keeps_the_focus_when_another_period_arrives(visit):
    page = visit(at="/spend?by=team,model", ready="#spend table")
    shown = page.locator("#spend .spend")
    with held(page, "**/admin/spend?*"):
        page.get_by_role("radio", name="30 days").focus()
        page.keyboard.press("ArrowLeft")
        expect(shown).to_have_attribute("aria-busy", "true")
        row = page.locator("""[data-id='["search","o4-mini"]']""")
        link = row.get_by_role("link", name="search")
        link.focus()
        before = link.element_handle()
    expect(shown).not_to_have_attribute("aria-busy", "true")
    assert not before.evaluate("link => link.isConnected")  # all rows are new
    expect(link).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**since=7d**team=search**")


def test_a_filter_that_is_taken_out_leaves_the_focus_at_the_filters(visit):
    page = visit(at="/spend?team=search", ready="#spend table")
    page.get_by_role("button", name="Remove the filter Team: search").press("Enter")
    expect(page.get_by_label("Filter by")).to_be_focused()


def test_what_is_typed_at_once_lands_in_the_form(visit, world):
    world.keys.fill()
    page = visit(at="/keys", ready="#keys table")
    with held(page, "**/admin/teams?*"):
        page.get_by_role("button", name="Create key").focus()
        page.keyboard.press("Enter")
        page.keyboard.type("nightly")
        expect(page.get_by_role("dialog").get_by_label("Name")).to_have_value("nightly")
    expect(page.locator('dialog datalist option[value="search"]')).to_be_attached()


def test_the_focus_returns_to_a_key_whose_row_was_drawn_anew_behind_its_panel(visit, world):
    world.keys.fill()
    page = visit(at="/keys", ready="#keys table")
    link = page.get_by_role("link", name="support-00001")
    with held(page, "**/admin/keys?*"):
        page.get_by_role("searchbox", name="Search", exact=True).fill("support")
        page.wait_for_url("**search=support**")
        link.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.locator("#keys tbody tr")).to_have_count(6)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(link).to_be_focused()


def test_a_call_keeps_the_focus_when_the_list_is_read_again(visit, world):
    world.empty = True  # no more calls arrive
    page = visit()
    link = page.locator(".calls tbody tr", has_text="gpt-4.1-mini").nth(2).get_by_role("link")
    link = page.locator(f'.calls a[href="{link.get_attribute("href")}"]')
    with held(page, "**/admin/calls?*"):
        page.get_by_label("Group").select_option("gpt-4.1-mini")
        link.focus()
    expect(page.locator(".calls tbody .what", has_text="embedding")).to_have_count(0)
    expect(link).to_be_focused()


def test_a_line_of_the_status_keeps_the_focus_when_another_endpoint_fails(visit, world):
    world.incident = True
    page = visit()
    line = page.locator("#troubles li", has_text="azure-east in gpt-4.1:")
    line.get_by_role("link").focus()
    world.drained = {("text-embedding-3-small", "vllm-local")}
    expect(page.locator("#troubles li")).to_have_count(6)
    expect(line.get_by_role("link")).to_be_focused()


@pytest.mark.parametrize(
    ("path", "shown", "link"),
    [("/spend", "#spend table", "search"), ("/keys", "#keys table", "support-00001")],
)
def test_a_page_reads_itself_anew_and_the_focus_stays(visit, world, path, shown, link):
    world.keys.fill()
    page = visit(at=path, ready=shown, clock=True)
    focused = page.locator(shown).get_by_role("link", name=link, exact=True)
    focused.focus()
    page.evaluate("window.before = document.activeElement")
    page.clock.fast_forward(31_000)
    page.wait_for_function("() => !window.before.isConnected")  # all rows are new
    expect(focused).to_be_focused()


def test_a_page_is_not_read_anew_while_a_form_is_open(visit, world):
    world.keys.fill()
    page = visit(at="/keys", ready="#keys table", clock=True)
    page.evaluate("window.before = document.querySelector('#keys table')")
    page.get_by_role("button", name="Create key").click()
    name = page.get_by_role("dialog").get_by_label("Name", exact=True)
    name.fill("nightly")
    page.clock.fast_forward(31_000)
    assert page.evaluate("window.before.isConnected")
    expect(name).to_have_value("nightly")
    page.keyboard.press("Escape")
    page.clock.fast_forward(11_000)
    page.wait_for_function("() => !window.before.isConnected")
    expect(page.get_by_role("button", name="Create key")).to_be_focused()
