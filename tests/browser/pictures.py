"""Make the docs' pictures of the overview and of Calls, from the real pages: run it as
`CHROMIUM=... python -m tests.browser.pictures`. They show made-up calls (fake.py, world.py)."""

import os
import socket
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.fake import serve_fake
from tests.browser.made_up import attempt
from tests.browser.world import World
from tests.support.background import in_background

DOCS = Path("docs/images")
WIDE, PHONE = {"width": 1280, "height": 1240}, {"width": 390, "height": 844}
# file: address, what there is when it is complete, size
PICTURES = {
    "dashboard.png": ("", ".mark-flag", WIDE),
    "dashboard-phone.png": ("", ".mark-flag", PHONE),
    "dashboard-call.png": ("/calls#call=req_shown", ".steps li", {"width": 1000, "height": 700}),
    "calls.png": ("/calls?status=2xx&since=1d", "#calls table", {"width": 1280, "height": 620}),
}


def failed_over(world):
    """A call that failed over; its trace shows why."""
    call = next(call for call in world.calls if call["group"] == "gpt-4.1" and not call["error"])
    said = {"message": "status 503 server_error: no capacity in eastus2", "upstream_id": "az-4711"}
    failed = attempt("azure-west", 40.0, 212.0, outcome="failed", reason="server_error", status=503)
    return {
        **call,
        **{"id": "req_shown", "model": "gpt-4.1", "upstream_id": "chatcmpl-77", "team": "search"},
        **{"endpoint": "openai", "attempts": 2, "fallback": None, "cache": None},
        **{"request": "POST /v1/chat/completions", "first_byte_ms": 640.0, "total_ms": 1_930.0},
        "steps": [
            failed | {"verdict": "next endpoint"} | said,
            attempt("openai", 252.4, 388.0),
        ],
    }


def main():
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    root = f"http://127.0.0.1:{listening.getsockname()[1]}/dashboard"
    found = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    with in_background(lambda: serve_fake(listening)) as app, sync_playwright() as playwright:
        world = app.state.world = World(incident=True, slow={("gpt-4.1", "openai")})
        world.more_calls(80)
        world.calls.append(failed_over(world))
        flags = ["--disable-gpu"]
        browser = playwright.chromium.launch(
            executable_path=found, chromium_sandbox=os.geteuid() != 0, args=flags
        )
        for name, (address, complete, size) in PICTURES.items():
            context = browser.new_context(
                viewport=size, reduced_motion="reduce", timezone_id="Europe/Berlin"
            )
            page = context.new_page()
            page.goto(root + address)
            page.locator(complete).first.wait_for(state="attached")
            page.screenshot(path=DOCS / name)
            context.close()
        browser.close()
        app.state.world = World(stopped=True)  # lets go of the streams


if __name__ == "__main__":
    main()
