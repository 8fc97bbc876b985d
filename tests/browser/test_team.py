"""A member of a team signs in at an issuer, and sees that team: its spend, keys and calls."""

import json
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import expect

from llmproxy.tools.simulator.settings import VendorSettings
from llmproxy.tools.simulator.vendor import serve
from tests.browser.reading import violations
from tests.support.background import in_background
from tests.support.oidc_provider import CLIENT_ID, oidc_provider
from tests.support.proxy import config_for, serve_proxy

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

    def config(vendor):
        params = {"base_url": vendor.base_url, "api_key": "sk-upstream"}
        entry = {"name": "first", "params": params, "price": {"input": 1_000.0, "output": 4_000.0}}
        sign_in = {"issuer": provider.issuer, "client_id": CLIENT_ID, "roles": ROLES}
        file = str(tmp_path / "llmproxy.sqlite")
        return config_for(entry, callers=CALLERS, sign_in=sign_in, database_url=file)

    with in_background(
        lambda: serve(VendorSettings(name="first")), lambda vendor: serve_proxy(config(vendor))
    ) as (_, served):
        yield served


def call(proxy, key):
    body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "Hello!"}]}
    request = Request(f"{proxy.root}/v1/chat/completions", json.dumps(body).encode())
    request.add_header("content-type", "application/json")
    request.add_header("authorization", f"Bearer {key}")
    urlopen(request).close()


def test_a_member_signs_in_by_the_button_and_sees_the_own_team(proxy, provider, visit, photo):
    call(proxy, "sk-client-app-1")
    call(proxy, "sk-client-job-1")
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
