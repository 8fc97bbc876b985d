"""The page on a real proxy in front of two simulated vendors."""

import json
import re
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import expect

from llmproxy.tools.simulator.faults import Fault
from llmproxy.tools.simulator.settings import VendorSettings
from llmproxy.tools.simulator.vendor import serve
from tests.support.background import in_background
from tests.support.proxy import config_for, serve_proxy

KEY = "sk-admin-made-up"


def entry(one, **more):
    return {
        "name": one.settings.name,
        "params": {"base_url": one.base_url, "api_key": "sk-upstream"},
        **more,
    }


@pytest.fixture
def serve_two():
    """serve_two(**settings): two vendors, the first of them preferred, and the proxy."""
    running = []

    def opened(*, path=None, **settings):
        def config(first, second):
            models = (entry(first), entry(second, tier=1))
            return config_for(*models, cache=True, cooldown_time=30, **settings)

        context = in_background(
            lambda: serve(VendorSettings(name="first")),
            lambda *_: serve(VendorSettings(name="second")),
            lambda first, second: serve_proxy(config(first, second), path=path),
        )
        running.append(context)
        first, second, proxy = context.__enter__()
        return first, second, proxy

    yield opened
    for context in running:
        context.__exit__(None, None, None)


def status_of(proxy, path="/v1/chat/completions", *, method="POST"):
    """Make a call; returns its status."""
    body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "Hello!"}]}
    request = Request(proxy.root + path, method=method)
    request.add_header("content-type", "application/json")
    try:
        with urlopen(request, json.dumps(body).encode() if method == "POST" else None) as answer:
            return answer.status
    except HTTPError as error:
        return error.code


def endpoint(page, name):
    return page.locator(f'[id="e-gpt-4.1-{name}"]')


def test_calls_appear_with_the_trace_of_a_failover(serve_two, visit):
    first, _, proxy = serve_two()
    page = visit(root=proxy.root)
    expect(page.locator("#headline")).to_have_text("No calls yet: 2 endpoints are ready")
    expect(page.locator("#latest-calls")).to_contain_text("No calls yet")
    first.faults.append(Fault("status:500", times=1))
    assert status_of(proxy) == 200
    newest = page.locator(".calls tbody tr").first
    expect(newest).to_contain_text("second")
    expect(newest).to_contain_text("2 attempts")
    newest.locator("a").click()
    steps = page.get_by_role("dialog", name="Call").get_by_role("listitem")
    expect(steps.first).to_contain_text(re.compile("first failed: .*500; then: next endpoint"))
    expect(steps.last).to_contain_text("second answered, 200")
    page.keyboard.press("Escape")
    expect(page.locator("#figures")).to_contain_text("0 of 1 calls")


def test_a_cooldown_is_shown_counted_down_and_cleared(serve_two, visit):
    first, _, proxy = serve_two()
    first.faults.append(Fault("status:401", times=1))
    assert status_of(proxy) == 200
    page = visit(root=proxy.root)
    expect(page.locator("#headline")).to_have_text("1 of 2 endpoints is unavailable")
    expect(endpoint(page, "first").locator(".left")).to_have_text(re.compile("left"))
    endpoint(page, "first").get_by_role("button", name="Clear").click()
    expect(page.locator("#headline")).to_have_text("All 2 endpoints are healthy")
    assert status_of(proxy) == 200
    expect(page.locator(".calls tbody tr").first).to_contain_text("first")


def test_a_drained_endpoint_gets_no_calls_until_it_is_enabled(serve_two, visit):
    first, second, proxy = serve_two()
    page = visit(root=proxy.root)
    endpoint(page, "first").get_by_role("button", name="Drain").click()
    page.get_by_role("dialog").get_by_role("button", name="Drain").click()
    expect(endpoint(page, "first").locator(".word")).to_have_text("drained")
    assert status_of(proxy) == 200
    expect(page.locator(".calls tbody tr").first).to_contain_text("second")
    assert (first.counts.total(), second.counts.total()) == (0, 1)
    endpoint(page, "first").get_by_role("button", name="Enable").click()
    expect(endpoint(page, "first").locator(".word")).to_have_text("ok")
    assert status_of(proxy) == 200
    expect(page.locator(".calls tbody tr").first).to_contain_text("first")
    assert (first.counts.total(), second.counts.total()) == (1, 1)


def test_the_operator_signs_in_purges_the_cache_and_signs_out(serve_two, visit):
    _, _, proxy = serve_two(admin_key=KEY)
    page = visit(root=proxy.root, ready="#login", expected=["401"])
    for key in ("wrong", KEY):
        page.get_by_label("Admin key").fill(key)
        page.keyboard.press("Enter")
        if key == "wrong":
            expect(page.get_by_role("alert")).not_to_be_empty()
    expect(page.locator("#headline")).to_have_text("No calls yet: 2 endpoints are ready")
    page.get_by_role("button", name="Purge cache…").click()
    page.get_by_role("dialog").get_by_role("button", name="Purge").click()
    expect(page.locator("#toasts")).to_contain_text("Deleted 0 answers in memory")
    page.reload()
    expect(page.locator("#headline")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Admin key")).to_be_visible()


def test_the_config_is_reloaded_and_an_invalid_one_is_reported(serve_two, visit, tmp_path):
    file = tmp_path / "llmproxy.yaml"
    _, _, proxy = serve_two(path=file)
    good = file.read_text()
    page = visit(root=proxy.root, expected=["422"])

    def reload():
        page.get_by_role("button", name="Reload config…").click()
        page.get_by_role("dialog").get_by_role("button", name="Reload").click()

    file.write_text(good.replace("tier: 1", "tier: 3"))
    reload()
    expect(page.get_by_role("dialog")).to_contain_text("tier: 1 -> 3")
    page.keyboard.press("Escape")
    file.write_text(good.replace("tier: 1", "teir: 1"))
    reload()
    expect(page.get_by_role("dialog")).to_contain_text("unknown key 'teir'")
    page.keyboard.press("Escape")
    expect(page.locator("#board")).to_contain_text("The new config was refused")
    assert status_of(proxy) == 200
