"""The money pages on a real proxy with a real database: a key is made there, used and blocked."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.priced_proxy import priced_proxy, status_of

CALLS = 3


@pytest.fixture
def proxy(tmp_path):
    """A proxy that serves keys only, in front of a vendor with prices."""
    with priced_proxy(tmp_path, keys_required=True) as served:
        yield served


def test_a_key_made_on_the_page_is_used_and_its_spend_is_seen(proxy, visit):
    page = visit(root=proxy.root, at="/keys", ready="#keys .nothing", expected=["404"])
    page.get_by_role("button", name="Create the first key").click()
    dialog = page.get_by_role("dialog")
    for label, value in {"Name": "nightly", "Team": "search", "Budget": "200/month"}.items():
        dialog.get_by_label(label, exact=True).fill(value)
    dialog.get_by_role("button", name="Create key").click()
    key = dialog.get_by_role("textbox", name="The key").input_value()
    dialog.get_by_role("button", name="I have stored it").click()
    assert [status_of(proxy, key) for _ in range(CALLS)] == [200] * CALLS
    row = page.locator("#keys tbody tr")
    expect_after_reload(
        page, row, re.compile(r"nightly.*search.*\$[\d.]+.*left of \$200.00 a month")
    )

    page.goto(f"{proxy.root}/dashboard/spend?by=key&team=search")
    spent = page.locator("#spend tbody tr")
    expect(spent).to_have_count(1)
    expect(spent).to_contain_text(re.compile(r"nightly.*\$[\d.]+.*100%"))
    expect(page.locator("#spend .figures > div").nth(2)).to_contain_text(str(CALLS))
    expect(page.locator("#spend .budgets")).to_contain_text("left of $200.00 a month")

    page.goto(f"{proxy.root}/dashboard/keys")
    page.get_by_role("link", name="nightly").click()
    dialog.get_by_role("button", name="Block…").click()
    dialog.get_by_role("button", name="Block").click()
    expect(row).to_contain_text("blocked")
    assert status_of(proxy, key) in (401, 403)


def expect_after_reload(page, found, words, times=20):
    """Read the page again until it shows what is written behind the calls."""
    for _ in range(times):
        expect(found.first).to_be_visible()
        if words.search(found.first.inner_text().replace("\n", " ")) and "$0 " not in (
            found.first.inner_text().replace("\n", " ").replace("\t", " ")
        ):
            return
        page.wait_for_timeout(200)
        page.reload()
    raise AssertionError(found.first.inner_text())
