"""The page Keys: search, create, rotate, block, delete; what each has used and has left."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.fake_keys import SECRET

ODD = ["🦄 unicorns", "مفتاح البحث", "<img src=x onerror=alert(1)>", "n" * 100]


@pytest.fixture
def keys(world):
    world.keys.fill()
    return world.keys


@pytest.fixture
def open_keys(page_at, keys):
    """Open the page; open_keys("?team=search")."""
    return page_at("keys")


def rows(page):
    return page.locator("#keys tbody tr")


def dialog(page):
    return page.get_by_role("dialog")


def test_keys_are_listed_with_what_they_used_and_have_left(open_keys):
    page = open_keys()
    row = rows(page).filter(has_text="billing-00003")
    expect(row).to_contain_text("$41.21")
    expect(row).to_contain_text("$37.37 left of $50.00 a month")
    expect(row).to_contain_text("resets")
    expect(page.locator("#keys")).to_contain_text("25 of 25 keys")


def test_search_team_and_state_stand_in_the_address(open_keys):
    page = open_keys()
    page.get_by_role("searchbox", name="Search", exact=True).fill("ada")
    expect(rows(page)).to_have_count(8)
    assert "search=ada" in page.url
    page.get_by_label("State").select_option("active")
    expect(rows(page)).to_have_count(6)
    page.get_by_role("searchbox", name="Search", exact=True).fill("")
    page.get_by_label("Team", exact=True).fill("search")
    expect(page).to_have_url(re.compile("team=search"))
    expect(rows(page)).to_have_count(6)
    page.reload()
    expect(page.get_by_label("State")).to_have_value("active")
    expect(rows(page)).to_have_count(6)
    page.go_back()
    expect(page.get_by_label("Team", exact=True)).to_have_value("")


def test_ten_thousand_keys_come_a_page_at_a_time(open_keys, keys):
    for index in range(10_000):
        keys.add(f"bulk-{index:05}")
    page = open_keys("?search=bulk")
    expect(rows(page)).to_have_count(50)
    expect(page.locator("#keys")).to_contain_text("50 of 10K keys")
    page.get_by_role("button", name="Show more").press("Enter")
    expect(rows(page)).to_have_count(100)
    expect(rows(page).nth(50).get_by_role("link").first).to_be_focused()


def test_a_key_is_made_and_shown_once(open_keys, keys):
    page = open_keys()
    page.get_by_role("button", name="Create key").click()
    for label, value in {
        **{"Name": "nightly", "Team": "search", "Owner": "ada@example.com", "Tags": "batch, night"},
        **{"Budget": "200/month", "Models": "gpt-4.1*", "Calls a minute": "60", "Expires": "90d"},
    }.items():
        dialog(page).get_by_label(label, exact=True).fill(value)
    dialog(page).get_by_role("button", name="Create key").click()
    expect(dialog(page).get_by_label("The key")).to_have_value(SECRET)
    expect(dialog(page)).to_contain_text("This key is shown only now.")
    assert keys.orders == [
        (
            "create",
            {
                **{"name": "nightly", "team": "search", "owner": "ada@example.com"},
                **{"tags": ["batch", "night"], "budget": "200/month", "models": ["gpt-4.1*"]},
                **{"rpm": 60, "expires": "90d"},
            },
        )
    ]
    page.keyboard.press("Escape")
    expect(dialog(page)).to_contain_text("Store the key first")
    dialog(page).get_by_role("button", name="I have stored it").click()
    expect(rows(page).filter(has_text="nightly")).to_be_visible()


def test_a_key_is_copied_and_stands_in_no_address_and_no_storage(open_keys):
    page = open_keys()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Create key").click()
    dialog(page).get_by_label("Name").fill("nightly")
    page.keyboard.press("Enter")
    dialog(page).get_by_role("button", name="Copy").click()
    expect(dialog(page)).to_contain_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == SECRET
    assert SECRET not in page.content()  # the value of an input is not in the page's text
    page.get_by_role("button", name="I have stored it").click()
    expect(dialog(page)).to_have_count(0)
    kept = "JSON.stringify([location.href, history.state, {...localStorage}, {...sessionStorage}])"
    assert SECRET not in page.evaluate(kept)
    assert SECRET not in page.content()


def test_what_the_proxy_refuses_stands_at_its_field(open_keys):
    page = open_keys(expected=["422"])
    page.get_by_role("button", name="Create key").click()
    page.keyboard.press("Enter")
    expect(dialog(page)).to_contain_text("Name is needed.")
    dialog(page).get_by_label("Name").fill("nightly")
    dialog(page).get_by_label("Budget").fill("lots")
    page.keyboard.press("Enter")
    expect(dialog(page).get_by_label("Budget")).to_be_focused()
    expect(dialog(page).get_by_label("Budget")).to_have_accessible_description(
        re.compile("Expected dollars or tokens and a period")
    )


def test_a_key_is_rotated_with_an_overlap(open_keys, keys):
    page = open_keys("?key=key_000001")
    dialog(page).get_by_role("button", name="Rotate…").click()
    dialog(page).get_by_label("The present key stays valid for").select_option("7d")
    dialog(page).get_by_role("button", name="Rotate").click()
    expect(dialog(page).get_by_label("The key")).to_have_value(SECRET)
    assert keys.orders == [("rotate", {"overlap": "7d"})]


def test_a_key_is_blocked_unblocked_and_deleted(open_keys, keys):
    page = open_keys()
    for words, state in (("Block…", "blocked"), ("Unblock", "active")):
        page.get_by_role("link", name="support-00001").click()
        dialog(page).get_by_role("button", name=words).click()
        if words == "Block…":
            dialog(page).get_by_role("button", name="Block").click()
        expect(rows(page).filter(has_text="support-00001")).to_contain_text(state)
    page.get_by_role("link", name="support-00001").click()
    dialog(page).get_by_role("button", name="Delete…").click()
    expect(dialog(page)).to_contain_text("What it has spent stays in the figures")
    dialog(page).get_by_role("button", name="Delete key").click()
    expect(rows(page).filter(has_text="support-00001")).to_have_count(0)
    assert [action for action, _ in keys.orders] == ["block", "unblock", "delete"]


def test_only_what_was_changed_is_sent(open_keys, keys):
    page = open_keys("?key=key_000001")
    dialog(page).get_by_role("button", name="Edit…").click()
    dialog(page).get_by_label("Note").fill("for the nightly batch")
    dialog(page).get_by_role("button", name="Save").click()
    expect(dialog(page)).to_have_count(0)
    assert keys.orders == [("change", {"note": "for the nightly batch"})]


def test_a_key_of_the_config_says_why_it_cannot_be_changed(open_keys):
    page = open_keys()
    page.get_by_role("link", name="ci", exact=True).click()
    expect(dialog(page)).to_contain_text("comes from the config file and is changed there")
    expect(dialog(page).get_by_role("button")).to_have_count(1)


@pytest.mark.parametrize("role", ["viewer", "team"])
def test_who_may_not_change_keys_sees_no_buttons(open_keys, keys, role):
    keys.me = {"name": "bob", "role": role, "team": "search" if role == "team" else None}
    page = open_keys()
    expect(rows(page)).to_have_count(25)
    expect(page.get_by_role("button", name="Create key")).to_have_count(0)
    page.get_by_role("link", name="support-00001").click()
    expect(dialog(page).get_by_role("button")).to_have_count(1)
    if role == "team":
        expect(page.locator("#keys")).to_contain_text("You see the keys of the team search.")


def test_odd_names_stay_text(open_keys, keys):
    for name in ODD:
        keys.add(name, team=name, owner=name)
    page = open_keys("?search=n")
    for name in ODD[2:]:
        expect(page.get_by_role("link", name=name, exact=True).first).to_be_visible()
    page.get_by_role("searchbox", name="Search", exact=True).fill("مفتاح")
    page.get_by_role("link", name=ODD[1], exact=True).first.click()
    expect(dialog(page).get_by_role("heading", level=2)).to_have_text(ODD[1])


def test_a_team_is_made_and_its_keys_are_a_click_away(open_keys, keys):
    page = open_keys("?view=teams")
    search = rows(page).filter(has=page.get_by_role("link", name="search", exact=True))
    expect(search).to_contain_text("$56.73 left of $200.00 a month")
    page.get_by_role("button", name="Create team").click()
    dialog(page).get_by_label("Name").fill("legal")
    dialog(page).get_by_label("Members").fill("ada@example.com, bob@example.com")
    dialog(page).get_by_role("button", name="Create team").click()
    expect(rows(page).filter(has_text="legal")).to_be_visible()
    members = ["ada@example.com", "bob@example.com"]
    assert keys.orders == [("create team", {"name": "legal", "members": members})]
    search.get_by_role("link", name="6").click()
    expect(page).to_have_url(re.compile(r"keys\?team=search"))


def test_members_keep_their_roles_and_a_team_with_keys_is_not_deleted(open_keys, keys):
    page = open_keys("?view=teams&of=search", expected=["409"])
    dialog(page).get_by_role("button", name="Edit…").click()
    dialog(page).get_by_label("Members").fill("ada@example.com, bob@example.com")
    dialog(page).get_by_role("button", name="Save").click()
    expect(dialog(page)).to_have_count(0)
    members = [{"person": "ada@example.com", "role": "team"}, "bob@example.com"]
    assert keys.orders == [("change team", {"members": members})]
    page.get_by_role("link", name="search", exact=True).click()
    dialog(page).get_by_role("button", name="Delete…").click()
    dialog(page).get_by_role("button", name="Delete team").click()
    expect(dialog(page)).to_contain_text("has 6 keys")


def test_empty_pages_say_what_to_do_next(open_keys, keys):
    keys.keys = []
    page = open_keys()
    page.get_by_role("button", name="Create the first key").click()
    page.keyboard.press("Escape")
    page.get_by_role("searchbox", name="Search", exact=True).fill("nobody")
    page.get_by_role("button", name="Show all keys").click()
    expect(page.get_by_role("button", name="Create the first key")).to_be_visible()


def test_a_store_that_is_away_or_off_is_told(open_keys, keys):
    keys.down = True
    page = open_keys(expected=["503", "404"])
    expect(page.locator("#keys")).to_contain_text("the database is not connected")
    keys.down, keys.off = False, True
    page.reload()
    expect(page.locator("#keys")).to_contain_text("Set general_settings.database_url")
