"""Spend and Keys with a screen reader's eyes, a keyboard, a phone, and in both themes."""

import pytest
from playwright.sync_api import expect

from tests.browser.reading import COVERED, violations

SPEND = {"at": "/spend?by=team,model", "ready": "#spend table"}
KEYS = {"at": "/keys", "ready": "#keys table"}
TEAMS = {"at": "/keys?view=teams", "ready": "#keys table"}
EMPTY = {"at": "/spend", "ready": "#spend .nothing"}
LONG = "a-name-that-is-longer-than-most-screens-are-wide-and-has-no-place-to-break-" * 2
WIDTH = "document.documentElement.scrollWidth"


@pytest.fixture(params=["light", "dark", "phone"])
def look(request, visit, world):
    """Open a page in the light or dark theme or on a phone."""
    world.keys.fill()

    def opened(**how):
        return visit(dark=request.param == "dark", phone=request.param == "phone", **how)

    opened.named = request.param
    return opened


@pytest.mark.parametrize("name, page", [("spend", SPEND), ("keys", KEYS), ("teams", TEAMS)])
def test_the_pages_have_no_violations(look, photo, name, page):
    opened = look(**page)
    assert violations(opened) == []
    photo(opened, f"{name}-{look.named}")


def test_empty_pages_and_unknown_prices_have_no_violations(look, world, photo):
    world.spend.prices = False
    page = look(**SPEND)
    assert violations(page) == []
    photo(page, f"spend-unknown-{look.named}")
    world.spend.calls = False
    page = look(**EMPTY)
    assert violations(page) == []
    photo(page, f"spend-empty-{look.named}")


def test_the_dialogs_have_no_violations(look, photo):
    page = look(**KEYS)
    page.get_by_role("link", name="support-00001").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert violations(page, "dialog", COVERED) == []
    photo(page, f"key-{look.named}", full=False)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Create key").click()
    assert violations(page, "dialog", COVERED) == []
    photo(page, f"key-form-{look.named}", full=False)
    page.get_by_role("dialog").get_by_label("Name").fill("nightly")
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="The key")).to_be_visible()
    assert violations(page, "dialog", COVERED) == []
    photo(page, f"key-secret-{look.named}", full=False)


@pytest.mark.parametrize("width", [390, 1024])
@pytest.mark.parametrize("shown", [SPEND, KEYS, TEAMS], ids=["spend", "keys", "teams"])
def test_no_width_scrolls_sideways(visit, world, photo, width, shown):
    world.keys.fill()
    world.keys.keys.insert(0, world.keys.add(LONG[:100], team=LONG[:100], owner=LONG[:100]))
    world.spend.teams = (LONG[:100], "مفتاح البحث", "🦄", "<b>bold</b>", None)
    page = visit(phone=width == 390, **shown)
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate(WIDTH) <= width
    photo(page, f"long-{shown['at'][1:5]}-{width}", full=False)


def test_a_key_is_made_with_the_keyboard_alone(visit, world):
    world.keys.fill()
    page = visit(**KEYS)
    tab_to(page, "Create key")
    page.keyboard.press("Enter")
    page.keyboard.type("nightly")
    page.keyboard.press("Tab")
    page.keyboard.type("search")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Copy")).to_be_focused()
    tab_to(page, "I have stored it")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name="Create key")).to_be_focused()
    tab_to(page, "ci")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("comes from the config file")
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="ci", exact=True)).to_be_focused()


def test_spend_is_read_with_the_keyboard_alone(visit):
    page = visit(**SPEND)
    page.get_by_role("radio", name="30 days").focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_url("**since=7d**")
    expect(page.get_by_role("radio", name="7 days")).to_be_focused()
    tab_to(page, "search")
    page.keyboard.press("Enter")
    page.wait_for_url("**team=search**")


def test_the_navigation_names_the_open_page(visit):
    page = visit(**SPEND)
    nav = page.get_by_role("navigation", name="Pages")
    expect(nav.locator("[aria-current]")).to_have_text("Spend")
    nav.get_by_role("link", name="Keys").click()
    expect(nav.locator("[aria-current]")).to_have_text("Keys")
    nav.get_by_role("link", name="Overview").click()
    expect(page.locator("#headline")).to_be_visible()


def test_a_page_asks_for_the_key_and_then_opens(visit, world):
    world.key = "sk-made-up"
    page = visit(at="/spend?by=model", ready="#login")
    page.get_by_label("Admin key").fill("sk-made-up")
    page.keyboard.press("Enter")
    expect(page.locator("#spend table")).to_be_visible()
    expect(page.get_by_label("By", exact=True)).to_have_value("model")
    world.sessions.clear()


def tab_to(page, name, most=60):
    """Press Tab until something of this name has the focus."""
    for _ in range(most):
        page.keyboard.press("Tab")
        text = page.evaluate(
            "document.activeElement.textContent || document.activeElement.ariaLabel || ''"
        )
        if text.strip() == name:
            return
    raise AssertionError(f"{name!r} is not reached")
