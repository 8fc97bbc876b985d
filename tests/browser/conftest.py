"""The dashboard in Debian's Chromium. Every test also fails on an error in the console, a violation
of the content security policy, and a request to another host."""

import os
import shutil
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import sync_playwright

from tests.browser.fake import serve_fake
from tests.browser.world import World
from tests.support.background import in_background

WHOLE_RUN_S = 900
WORK = Path(__file__).with_name("work")
FLAGS = [
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP *.example 127.0.0.1",  # sites that are served by a test
]
DESKTOP = {"width": 1360, "height": 900}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="session", autouse=True)
def bounded_run():
    """Fail a run that hangs."""

    def give_up(*_):
        raise KeyboardInterrupt(f"the tests in the browser took longer than {WHOLE_RUN_S} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(WHOLE_RUN_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def browser():
    found = os.environ.get("CHROMIUM") or shutil.which("chromium")
    assert found, (
        "There is no chromium: `make test-browser` looks for one, and prints how to install it."
    )
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=found, headless=True, chromium_sandbox=not root, args=FLAGS
        )
        yield running
        running.close()


@pytest.fixture(scope="session")
def fake():
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    with in_background(lambda: serve_fake(listening)) as app:
        app.state.root = f"http://127.0.0.1:{listening.getsockname()[1]}"
        yield app


@pytest.fixture
def world(fake):
    """Make a fake proxy for one test, with some calls in it."""
    fake.state.world = World()
    fake.state.world.more_calls(80)
    yield fake.state.world
    fake.state.world = World(stopped=True)  # lets go of the streams of this test


@pytest.fixture
def visit(browser, fake, world):
    """Opens the dashboard: visit(dark=, phone=, at="#call=…", expected=("401",)).

    `expected`: words of console errors that belong to the test, such as a refused answer;
    `elsewhere`: addresses of other hosts that do, such as an issuer. `clock`: the test turns the
    page's clock (`page.clock`).
    """
    contexts, wrong = [], []

    def opened(
        *,
        dark=False,
        phone=False,
        at="",
        expected=(),
        elsewhere=(),
        root=None,
        ready="#headline",
        clock=False,
    ):
        context = browser.new_context(
            viewport=PHONE if phone else DESKTOP,
            color_scheme="dark" if dark else "light",
            has_touch=phone,
            device_scale_factor=2 if phone else 1,
            reduced_motion="reduce",
            timezone_id="Europe/Berlin",
        )
        contexts.append(context)
        page = context.new_page()
        if clock:
            page.clock.install()
        watch(page, wrong, [root or fake.state.root, *elsewhere], expected)
        page.goto(f"{root or fake.state.root}/dashboard{at}")
        page.wait_for_function(
            "selector => Boolean(document.querySelector(selector)?.offsetParent)", arg=ready
        )
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not wrong


@pytest.fixture
def page_at(visit):
    """Opens a page that shows a table: page_at("keys")("?team=search", phone=True)."""

    def at(name):
        def opened(query="", **how):
            ready = f"#{name} table, #{name} .nothing"
            return visit(at=f"/{name}{query}", **{"ready": ready, **how})

        return opened

    return at


def watch(page, wrong, roots, expected):
    hosts = [urlsplit(root).netloc for root in roots]

    def on_console(message):
        if message.type in ("error", "warning") and not any(w in message.text for w in expected):
            wrong.append(f"{message.type}: {message.text}")

    def on_request(request):
        if urlsplit(request.url).netloc not in hosts and not request.url.startswith("data:"):
            wrong.append(f"a request to {request.url}")

    page.on("console", on_console)
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("request", on_request)
    page.add_init_script(
        "addEventListener('securitypolicyviolation', e =>"
        " console.error('policy: ' + e.violatedDirective + ' ' + e.blockedURI))"
    )


@pytest.fixture
def photo():
    """Save a screenshot for a person to look at, if asked to: photo(page, "name")."""

    def take(page, name, *, full=True):
        if not os.environ.get("PICTURES"):
            return  # one takes as much processor time as a short test
        WORK.mkdir(exist_ok=True)
        page.screenshot(path=WORK / f"{name}.png", full_page=full, scale="css")

    return take
