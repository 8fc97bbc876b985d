"""A scripted incident on the demo: one endpoint slows, one returns 500s, one hits its limit. The
metrics, the explanations and the page each show which, since when, and what was done."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from time import sleep, time
from urllib.request import urlopen

import msgspec
import pytest
from playwright.sync_api import expect
from prometheus_client.parser import text_string_to_metric_families

from llmproxy.tools.simulator.demo import demo_fleet
from llmproxy.tools.simulator.faults import Fault
from tests.support.background import in_background
from tests.support.client import CHAT, ask
from tests.support.proxy import serve_proxy

pytestmark = pytest.mark.xdist_group("incident")  # one worker: there is one incident
GROUP = "gpt-4.1"
SLOW, FAILING, LIMITED = "demo-openai", "demo-azure-v1", "demo-azure"
EVERY_S = 0.12  # between two calls: the limited one takes 2 a second, and a minute's worth at once
BEFORE_S = 12
SLOWNESS_S = 2.5


@asynccontextmanager
async def traffic(proxy):
    """Send calls at a fixed rate, whether or not earlier ones are answered."""
    calls = set()

    async def one():
        with suppress(OSError, TimeoutError):
            await ask(proxy.port, body={**CHAT, "max_tokens": 3})

    async def many():
        while True:
            call = asyncio.create_task(one())
            calls.add(call)
            call.add_done_callback(calls.discard)
            await asyncio.sleep(EVERY_S)

    going = asyncio.create_task(many())
    yield
    going.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


@pytest.fixture(scope="module")
def incident():
    """Return the proxy during the incident, and when the incident began (Unix seconds)."""
    with in_background(
        demo_fleet, lambda fleet: serve_proxy(fleet.config_yaml), lambda _, proxy: traffic(proxy)
    ) as (fleet, proxy, _):
        sleep(BEFORE_S)
        began_at = time()
        slow = fleet.vendors[SLOW]
        slow.settings = msgspec.structs.replace(slow.settings, latency_s=SLOWNESS_S)
        fleet.vendors[FAILING].faults[:] = [Fault("status:500")]
        limited = fleet.vendors[LIMITED]
        limited.faults[:] = [Fault("status:429:rate_limit_exceeded", retry_after="20")]
        sleep(BEFORE_S)
        yield proxy, began_at


def read(proxy, path):
    with urlopen(f"{proxy.root}{path}") as answer:
        return answer.read().decode()


def sampled(proxy, name, **labels):
    """The sum of a metric's samples in the group that have these labels."""
    labels["group"] = GROUP
    return sum(
        sample.value
        for family in text_string_to_metric_families(read(proxy, "/metrics"))
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def below(proxy, endpoint, seconds):
    """Return the share of an endpoint's answers that began within so many seconds."""
    name = "llmproxy_attempt_first_byte_seconds"
    within = sampled(proxy, f"{name}_bucket", endpoint=endpoint, le=str(seconds))
    return within / sampled(proxy, f"{name}_count", endpoint=endpoint)


def test_the_metrics_show_which_endpoint_is_failing_and_how(incident):
    proxy, _ = incident
    failures = "llmproxy_attempt_failures_total"
    assert sampled(proxy, failures, endpoint=FAILING, reason="server_error") >= 1
    assert sampled(proxy, failures, endpoint=LIMITED, reason="throttled") >= 1
    assert sampled(proxy, failures, endpoint=SLOW) <= 1  # the first call of the demo fails over
    assert sampled(proxy, "llmproxy_endpoint_changes_total", endpoint=FAILING, state="open") >= 1
    assert sampled(proxy, "llmproxy_endpoint_state", endpoint=LIMITED, state="cooling") == 1
    assert below(proxy, SLOW, 2.0) < 0.9 < below(proxy, LIMITED, 2.0)
    # The proxy moved calls to other endpoints, and lost none.
    assert sampled(proxy, "llmproxy_failovers_total", endpoint=FAILING) >= 1
    assert sampled(proxy, "llmproxy_failovers_total", endpoint=LIMITED) >= 1
    assert sampled(proxy, "llmproxy_call_errors_total") == 0


def test_the_state_shows_since_when(incident):
    proxy, began_at = incident
    (group,) = [
        group
        for group in json.loads(read(proxy, "/admin/state"))["groups"]
        if group["group"] == GROUP
    ]
    here = {endpoint["endpoint"]: endpoint for endpoint in group["endpoints"]}
    assert here[LIMITED]["state"] == "cooling"
    assert began_at - 1 < here[LIMITED]["since"] < began_at + 5
    assert here[SLOW]["state"] == "ok"
    assert here[SLOW]["recent"]["first_byte_p99_ms"] > SLOWNESS_S * 1000 * 0.8
    points = json.loads(read(proxy, f"/admin/history?group={GROUP}"))["points"]
    slow_since = next(
        point["at"] for point in points if (point["first_byte_p99_ms"] or 0) > SLOWNESS_S * 800
    )
    assert began_at - 6 < slow_since < began_at + 11


def test_explain_shows_why_a_call_goes_where_it_goes(incident):
    proxy, began_at = incident
    explained = json.loads(read(proxy, f"/admin/explain?model={GROUP}"))
    (tier,) = explained["tiers"]
    why = {endpoint["endpoint"]: endpoint["why"] for endpoint in tier["endpoints"]}
    assert SLOW in explained["would"]
    assert why[LIMITED].startswith("throttled, cooling down for ")
    moved = [
        call
        for call in json.loads(read(proxy, "/admin/calls?notable=true&limit=200"))["calls"]
        if call["at"] > began_at and call["status"] == 200
    ]
    failed = {
        (step["endpoint"], step["reason"])
        for call in moved
        for step in call["steps"]
        if step["what"] == "attempt" and step["outcome"] == "failed"
    }
    assert {(FAILING, "server_error"), (LIMITED, "throttled")} <= failed
    assert all(call["steps"][-1]["outcome"] == "answered" for call in moved)


def test_the_page_describes_it_in_words(incident, visit, photo):
    proxy, _ = incident
    page = visit(root=proxy.root)
    limited = page.locator(f'[id="e-{GROUP}-{LIMITED}"]')
    expect(limited.locator(".word")).to_have_text("cooling down")
    expect(limited).to_contain_text("throttled")
    expect(page.locator("#headline")).to_contain_text("unavailable")
    photo(page, "demo-incident", full=False)
    page.get_by_label("Errors and retries only").check()
    row = page.locator(".calls tbody tr", has_text="2 attempts").first
    row.locator("a").click()
    steps = page.get_by_role("dialog", name="Call").get_by_role("listitem")
    expect(steps.last).to_contain_text("answered, 200")
    photo(page, "demo-incident-call", full=False)
