"""Access to the page's data, and what it shows without a session or a connection."""

import re

from playwright.sync_api import expect

KEY = "sk-admin-made-up"


def sign_in(page, key=KEY):
    page.get_by_label("Admin key").fill(key)
    page.keyboard.press("Enter")


def test_a_protected_proxy_asks_for_its_key(visit, world, photo):
    world.key = KEY
    page = visit(ready="#login", expected=["401"])
    expect(page.get_by_label("Admin key")).to_be_focused()
    expect(page.locator("#board")).to_be_hidden()
    sign_in(page, "wrong")
    expect(page.get_by_role("alert")).to_have_text("This is not the admin key.")
    photo(page, "login")
    sign_in(page)
    expect(page.locator("#headline")).to_have_text("All 8 endpoints are healthy")
    expect(page.locator("#login")).to_be_hidden()
    assert page.locator("#key").input_value() == ""


def test_a_session_survives_a_reload_of_the_page_until_sign_out(visit, world):
    world.key = KEY
    page = visit(ready="#login")
    sign_in(page)
    expect(page.locator("#headline")).to_be_visible()
    page.reload()
    expect(page.locator("#headline")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Admin key")).to_be_focused()
    expect(page.locator("#board")).to_be_hidden()


def test_an_ended_session_leads_back_to_the_login_form(visit, world):
    world.key = KEY
    page = visit(ready="#login", expected=["401"])
    sign_in(page)
    page.get_by_role("button", name="Purge cache…").click()
    world.sessions.clear()
    page.get_by_role("dialog").get_by_role("button", name="Purge").click()
    expect(page.get_by_label("Admin key")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    sign_in(page)
    expect(page.locator("#headline")).to_be_visible()
    expect(page.locator("#link-word")).to_have_text("Live")


def test_a_refused_stream_leads_back_to_the_login_form(visit, world):
    world.key = KEY
    page = visit(ready="#login", expected=["401", "ERR_"])
    sign_in(page)
    expect(page.locator("#headline")).to_be_visible()
    world.sessions.clear()
    expect(page.get_by_label("Admin key")).to_be_visible(timeout=12_000)


def test_another_machine_sees_why_access_is_denied(visit, world):
    world.forbidden = "/admin answers only to this machine. Set general_settings.admin_key."
    page = visit(ready="#refused", expected=["403"])
    expect(page.locator("#refused-why")).to_have_text(world.forbidden)
    expect(page.locator("#board")).to_be_hidden()


def test_a_lost_connection_shows_since_when_and_recovers(visit, world):
    page = visit(expected=["503", "ERR_"])
    expect(page.locator("#link-word")).to_have_text("Live")
    world.stopped = True
    expect(page.locator("#link-word")).to_have_text("Connection lost.")
    expect(page.locator("#link-since")).to_have_text(
        re.compile(r"Showing data from \d\d:\d\d:\d\d, [0-9]\ss ago. Reconnecting …")
    )
    world.stopped = False
    world.incident = True
    expect(page.locator("#link-word")).to_have_text("Live", timeout=12_000)
    expect(page.locator("#headline")).to_have_text("5 of 8 endpoints are unavailable; 1 is full")


def test_a_hanging_connection_counts_as_lost(visit, world):
    page = visit()
    expect(page.locator("#link-word")).to_have_text("Live")
    world.silent = True
    expect(page.locator("#link-word")).to_have_text("Connection lost.", timeout=9_000)
    world.silent = False
    expect(page.locator("#link-word")).to_have_text("Live", timeout=9_000)
