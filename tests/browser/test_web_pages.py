"""Pages of other sites in a real browser: what they send reaches no endpoint, unless listed."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support.background import in_background
from tests.support.proxy import config_for, serve_proxy
from tests.support.vendor import GOOD, scripted

# Each is a function of the proxy's root; it ends when the browser has had the answer, or an error.
SENDS = {
    "a simple request": """root => fetch(root + '/v1/chat/completions', {
        method: 'POST', mode: 'no-cors', body: BODY}).catch(() => 0)""",
    "a simple request that would be read": """root => fetch(root + '/v1/chat/completions', {
        method: 'POST', body: BODY}).catch(() => 0)""",
    "a request with JSON and a key": """root => fetch(root + '/v1/chat/completions', {
        method: 'POST', body: BODY, headers: {
            'content-type': 'application/json', 'authorization': 'Bearer sk'}}).catch(() => 0)""",
    "a beacon": "root => navigator.sendBeacon(root + '/v1/chat/completions', BODY)",
    "a form": """root => new Promise(done => {
        const form = document.createElement('form'), frame = document.createElement('iframe')
        frame.name = 'hidden'
        document.body.append(frame, form)
        Object.assign(form, {method: 'POST', enctype: 'multipart/form-data', target: 'hidden',
                             action: root + '/v1/images/edits'})
        const field = document.createElement('input')
        Object.assign(field, {name: 'model', value: 'gpt-4.1'})
        form.append(field)
        form.submit()
        setTimeout(done, 500)})""",
    "an image": """root => new Promise(done => {
        const image = new Image()
        image.onload = image.onerror = done
        image.src = root + '/v1/files/f/content?model=gpt-4.1'})""",
}
BODY = '\'{"model": "gpt-4.1", "messages": []}\''
UNASKED = [name for name in SENDS if name != "a request with JSON and a key"]
CALL = """async root => {
    const answer = await fetch(root + '/v1/chat/completions', {
        method: 'POST', body: BODY, headers: {'content-type': 'application/json',
            'authorization': 'Bearer sk', 'x-stainless-lang': 'js'}})
    return [answer.status, (await answer.json()).choices[0].message.content,
            answer.headers.get('x-llmproxy-attempts')]}"""


class EmptyPage(BaseHTTPRequestHandler):
    """Answers every request with an empty page."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>A page</title><body></body>")

    def log_message(self, *_):
        pass


@contextmanager
def serving(page_host, browser, *, allowed=False, keys=()):
    """Yield a page of a site, the proxy and its endpoint. `allowed`: the proxy lists the site."""
    site = ThreadingHTTPServer(("127.0.0.1", 0), EmptyPage)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    origin = f"http://{page_host}:{site.server_port}"
    settings = {"allowed_origins": [origin] if allowed else [], "callers": list(keys)}
    proxied = in_background(
        lambda: scripted(GOOD), lambda vendor: serve_proxy(config_for(vendor.base_url, **settings))
    )
    context = browser.new_context()
    try:
        with proxied as (vendor, proxy):
            page = context.new_page()
            page.goto(origin)
            yield page, proxy, vendor
    finally:
        context.close()
        site.shutdown()
        site.server_close()


@pytest.mark.parametrize("send", SENDS)
def test_no_page_of_another_site_reaches_an_endpoint(browser, send):
    with serving("evil.example", browser) as (page, proxy, vendor):
        page.evaluate(SENDS[send].replace("BODY", BODY), proxy.root)
        page.wait_for_timeout(200)
        assert len(vendor.received) == 0
        assert all(seen.record.answer.status == 403 for seen in proxy.events.calls)


@pytest.mark.parametrize("send", SENDS)
def test_the_same_reaches_it_from_a_listed_page_so_the_browser_did_send_it(browser, send):
    if send == "an image":
        pytest.skip("an image names no origin, so it is refused also from a listed page")
    with serving("app.example", browser, allowed=True) as (page, proxy, vendor):
        page.evaluate(SENDS[send].replace("BODY", BODY), proxy.root)
        page.wait_for_timeout(200)
        assert len(vendor.received) == 1


@pytest.mark.parametrize("send", UNASKED)
def test_what_needs_no_preflight_is_refused_also_from_a_page_of_this_machine(browser, send):
    with serving("localhost", browser) as (page, proxy, vendor):
        page.evaluate(SENDS[send].replace("BODY", BODY), proxy.root)
        page.wait_for_timeout(200)
        assert len(vendor.received) == 0


def test_a_site_whose_name_was_made_to_point_here_reaches_no_endpoint_and_reads_nothing(browser):
    with serving("evil.example", browser) as (page, proxy, vendor):
        rebound = f"http://evil.example:{proxy.port}"
        page.goto(rebound + "/livez")
        read = page.evaluate(
            f"async root => (await fetch(root + '/v1/chat/completions', "
            f"{{method: 'POST', body: {BODY}}})).status",
            rebound,
        )
        models = page.evaluate("async root => (await fetch(root + '/v1/models')).status", rebound)
        assert (read, models, len(vendor.received)) == (403, 403, 0)


@pytest.mark.parametrize(("host", "allowed"), [("app.example", True), ("localhost", False)])
def test_a_listed_page_and_a_page_of_this_machine_call_and_read(browser, host, allowed):
    with serving(host, browser, allowed=allowed) as (page, proxy, vendor):
        assert page.evaluate(CALL.replace("BODY", BODY), proxy.root) == [200, "good", "1"]
        assert len(vendor.received) == 1


def test_with_callers_a_listed_page_reads_why_its_key_is_refused(browser):
    keys = [{"name": "team", "key": "sk-caller-a-secret"}]
    with serving("app.example", browser, allowed=True, keys=keys) as (page, proxy, vendor):
        call = "async root => (await (await fetch(root + '/v1/models')).json()).error.code"
        assert page.evaluate(call, proxy.root) == "invalid_api_key"
        assert len(vendor.received) == 0
