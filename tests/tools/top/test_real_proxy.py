"""The terminal on a real proxy, before two simulated vendors: what it shows is what happened."""

import json
from contextlib import contextmanager
from urllib.request import Request, urlopen

from llmproxy.tools.simulator.faults import Fault
from llmproxy.tools.simulator.settings import VendorSettings
from llmproxy.tools.simulator.vendor import serve
from tests.support.background import in_background
from tests.support.proxy import config_for, serve_proxy
from tests.tools.top.terminal import Terminal

KEY = "sk-admin-made-up"


def entry(one, **more):
    params = {"base_url": one.base_url, "api_key": "sk-upstream"}
    return {"name": one.settings.name, "params": params, **more}


@contextmanager
def house(**settings):
    """Two vendors, the first of them preferred, and the proxy."""

    def config(first, second):
        models = (entry(first, limits={"rpm": 600}), entry(second, tier=1))
        return config_for(*models, cache=True, cooldown_time=30, **settings)

    with in_background(
        lambda: serve(VendorSettings(name="first")),
        lambda *_: serve(VendorSettings(name="second")),
        lambda first, second: serve_proxy(config(first, second)),
    ) as running:
        yield running


def asked(proxy, path="/v1/chat/completions", method="POST", body=None):
    body = body or {"model": "gpt-4.1", "messages": [{"role": "user", "content": "Hello!"}]}
    request = Request(proxy.root + path, json.dumps(body).encode(), method=method)
    request.add_header("content-type", "application/json")
    with urlopen(request) as answer:
        return answer.status


def test_calls_endpoints_and_a_drain_are_seen_as_they_happen():
    with house() as (first, _, proxy), Terminal("top", "--url", proxy.root) as terminal:
        assert terminal.until("second")[0].startswith("● OK  llmproxy")
        assert asked(proxy) == 200
        frame = terminal.until("gpt-4.1 → first")
        assert any(line.split()[1:3] == ["200", "chat/completions"] for line in frame)
        first.faults.append(Fault("status:402", times=1))
        assert asked(proxy) == 200
        terminal.until("▲ 2 attempts")
        terminal.until("▲ cooling")
        assert asked(proxy, "/admin/clear", body={"group": None, "endpoint": "first"}) == 200
        assert asked(proxy, "/admin/drain", body={"group": None, "endpoint": "first"}) == 200
        frame = terminal.until("○ drained")
        assert frame[0].startswith("▲ DEGRADED")
        terminal.press("q")
        assert terminal.ended() == 0


def test_once_with_the_key_and_without():
    with house(admin_key=KEY) as (_, _, proxy):
        with Terminal("top", "--once", "--url", proxy.root) as terminal:
            assert terminal.ended() == 2
            assert "Send the proxy's admin_key" in " ".join(terminal.said().split())
        environ = {"LLMPROXY_ADMIN_KEY": KEY}
        arguments = ("top", "--once", "--group", "gpt-4.1", "--url", proxy.root)
        with Terminal(*arguments, environ=environ) as terminal:
            assert terminal.ended() == 0
            assert "OK gpt-4.1  llmproxy" in terminal.said()


def test_the_end_of_a_proxy_is_not_held_up_and_is_told():
    with house() as (_, _, proxy), Terminal("top", "--url", proxy.root) as terminal:
        terminal.until("second")
        proxy.app.live.draining = True
        terminal.until("✖ LOST")
