"""The page works with a keyboard, a screen reader, a phone, and in both themes."""

import pytest
from playwright.sync_api import expect

from tests.browser.reading import COVERED, violations

FOCUSABLE = "a[href], button, input, select, [tabindex='0']"
# Where the focus is, and whether it is visible.
FOCUS = """() => {
  const it = document.activeElement, style = getComputedStyle(it);
  const drawn = it.matches('.switch input') ? getComputedStyle(it.nextElementSibling) : style;
  const box = it.getBoundingClientRect();
  return {
    id: (it.dataset.seen ??= String(Math.random())),
    name: it.textContent || it.getAttribute('aria-label') || it.id,
    visible: drawn.outlineStyle !== 'none' && parseFloat(drawn.outlineWidth) >= 2,
    body: it === document.body,
    there: box.bottom > 0 && box.top < innerHeight,
  };
}"""


@pytest.fixture(params=["light", "dark", "phone"])
def look(request, visit, world):
    """Open the page in the light or dark theme or on a phone, with some calls."""
    world.calls = world.calls[:8]

    def opened(**how):
        return visit(dark=request.param == "dark", phone=request.param == "phone", **how)

    opened.named = request.param
    return opened


def test_a_healthy_page_has_no_violations(look, photo):
    page = look()
    expect(page.locator("path.line").first).to_be_attached()
    assert violations(page) == []
    photo(page, f"healthy-{look.named}")


def test_an_incident_has_no_violations(look, world, photo):
    world.incident = True
    world.calls = world.more_calls(12)
    world.config_error = "llmproxy.yaml:14: model_groups[0].models[1]: unknown key 'wieght'."
    page = look()
    expect(page.locator('.calls tr[data-tone="bad"]').first).to_be_visible()
    assert violations(page) == []
    photo(page, f"incident-{look.named}")


def test_the_login_form_has_no_violations(look, world):
    world.key = "sk-made-up"
    page = look(ready="#login", expected=["401"])
    page.get_by_label("Admin key").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    assert violations(page) == []


def test_a_confirmation_has_no_violations(look, photo):
    page = look()
    page.get_by_role("button", name="Drain openai in gpt-4.1-mini").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert violations(page, "dialog", COVERED) == []
    photo(page, f"drain-{look.named}", full=False)
    page.get_by_role("dialog").get_by_role("button", name="Drain").click()
    expect(page.locator("#toasts")).to_contain_text("drained")
    assert violations(page, "#toasts", COVERED) == []


def test_a_trace_has_no_violations(look, world, photo):
    world.incident = True
    world.more_calls(60)
    failed = next(call for call in world.calls if call["error"])
    page = look(at=f"#call={failed['id']}")
    expect(page.locator(".steps")).to_be_visible()
    assert violations(page, "dialog", COVERED) == []
    photo(page, f"trace-{look.named}", full=False)


def test_an_empty_or_disconnected_page_has_no_violations(look, world, photo):
    world.empty = True
    world.calls = []
    page = look(expected=["503", "ERR_"])
    expect(page.locator("#first-call pre")).to_be_visible()
    assert violations(page) == []
    world.stopped = True
    expect(page.locator("#link-word")).to_have_text("Connection lost.")
    assert violations(page) == []
    photo(page, f"lost-{look.named}", full=False)


def test_no_screen_width_scrolls_sideways_or_cuts_text_off(visit, world, photo):
    world.incident = True
    world.more_calls(60)
    world.names = {
        "azure-east": "an-endpoint-with-a-name-that-is-longer-than-most-screens-are-wide"
    }
    page = visit(phone=True)
    expect(page.locator(".calls tbody tr")).to_have_count(50)
    wide = "document.documentElement.scrollWidth"
    cut = """() => [...document.querySelectorAll('main *')].filter(element => {
        const box = element.getBoundingClientRect();
        return box.width > 1 && box.right > innerWidth + 0.5;
    }).map(element => element.outerHTML.slice(0, 80))"""
    for width in (360, 390, 640, 641, 820, 1001, 1121, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate(wide) == width
        assert page.evaluate(cut) == [], width
        if width in (820, 1121):
            photo(page, f"width-{width}", full=False)
    page.set_viewport_size({"width": 390, "height": 844})
    page.locator(".calls tbody a").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert page.evaluate(wide) == 390


def test_everything_is_reachable_by_the_tab_key_with_a_visible_focus(visit, world):
    world.incident = True
    page = visit()
    expect(page.locator(".calls tbody tr")).to_have_count(50)
    page.locator("#headline").click()  # calls continue to arrive, and their links may move
    page.evaluate("document.activeElement.blur()")
    wanted = page.evaluate(
        "s => [...document.querySelectorAll(s)].filter(e => e.offsetParent"
        " && !e.closest('.calls') && !(e.type === 'radio' && !e.checked)).length",
        FOCUSABLE,
    )
    seen = []
    while len(seen) < 200:
        page.keyboard.press("Tab")
        now = page.evaluate(FOCUS)
        if now["body"] or now["id"] in [element["id"] for element in seen]:
            break
        assert now["visible"], now["name"]
        assert now["there"], now["name"]
        seen.append(now)
        if len(seen) == wanted + 3:
            break  # the calls have been reached
    assert len(seen) == wanted + 3


def test_a_call_is_opened_and_closed_by_keyboard_and_the_focus_returns(visit):
    page = visit()
    link = page.locator(".calls tbody a").nth(2)
    link.focus()
    id = page.evaluate("document.activeElement.hash")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Copy id")).to_be_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('dialog') !== null")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.evaluate("document.activeElement.hash") == id


def test_the_theme_is_chosen_and_remembered(visit):
    page = visit()
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    button = page.get_by_role("button", name="Theme: auto")
    button.click()
    expect(page.get_by_role("button", name="Theme: light")).to_be_visible()
    page.get_by_role("button", name="Theme: light").click()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    assert page.evaluate(ground) == dark
    page.get_by_role("button", name="Theme: dark").click()
    assert page.evaluate(ground) == light
