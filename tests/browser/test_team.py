"""A member of a team signs in at an issuer, and sees that team: its spend, keys and calls."""

import pytest
from playwright.sync_api import expect

from tests.browser.priced_proxy import priced_proxy, status_of
from tests.browser.reading import violations
from tests.support.oidc_provider import CLIENT_ID, oidc_provider

ROLES = [{"claim": "groups", "value": ["search"], "role": "team", "team_claim": "groups"}]
TEA = {"sub": "tea", "email": "tea@example.com", "groups": "search"}
CALLERS = [
    {"name": "app", "key": "sk-client-app-1", "team": "search"},
    {"name": "job", "key": "sk-client-job-1", "team": "ads"},
]


@pytest.fixture
def provider():
    with oidc_provider() as provider:
        provider.person = TEA
        yield provider


@pytest.fixture
def proxy(tmp_path, provider):
    """A proxy with two teams, at which people sign in by the provider only."""
    sign_in = {"issuer": provider.issuer, "client_id": CLIENT_ID, "roles": ROLES}
    with priced_proxy(tmp_path, callers=CALLERS, sign_in=sign_in) as served:
        yield served


def test_a_member_signs_in_by_the_button_and_sees_the_own_team(proxy, provider, visit, photo):
    assert status_of(proxy, "sk-client-app-1") == status_of(proxy, "sk-client-job-1") == 200
    page = visit(root=proxy.root, ready="#sign-in", elsewhere=[provider.issuer])
    assert violations(page) == []
    page.get_by_role("button", name="Sign in at your company…").click()
    expect(page.get_by_role("heading", name="Team search")).to_be_visible()
    team = page.locator("#team")
    expect(team.get_by_role("table").first).to_contain_text("app")
    expect(team.locator("table.calls tbody tr")).to_have_count(1)
    expect(team).not_to_contain_text("job")
    expect(team.get_by_text("every call is known exactly")).to_be_visible()
    expect(page.get_by_role("link", name="Overview")).to_have_text("Overview")
    expect(page.get_by_text("Access denied")).to_be_hidden()
    for theme, width in (("light", 1360), ("dark", 1024), ("light", 390)):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=theme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert violations(page) == []
        photo(page, f"team-{theme}-{width}")
    for name in ("Spend", "Keys", "Calls"):
        page.get_by_role("navigation", name="Pages").get_by_role("link", name=name).click()
        expect(page.locator(f"#{name.lower()} table").first).to_be_visible()
        expect(page.locator(f"#{name.lower()} tbody").first).not_to_contain_text("job")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in at your company…")).to_be_visible()
