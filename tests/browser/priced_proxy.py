"""A real proxy with a real database, in front of a vendor with prices that a page shows."""

import json
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from llmproxy.tools.simulator.settings import VendorSettings
from llmproxy.tools.simulator.vendor import serve
from tests.support.background import in_background
from tests.support.proxy import config_for, serve_proxy


@contextmanager
def priced_proxy(folder, **settings):
    """Serve it in the background until the block ends. `folder`: of the database."""

    def config(vendor):
        params = {"base_url": vendor.base_url, "api_key": "sk-upstream"}
        price = {"input": 1_000.0, "output": 4_000.0}  # dollars for a million tokens
        entry = {"name": "first", "params": params, "price": price}
        return config_for(entry, database_url=str(folder / "llmproxy.sqlite"), **settings)

    with in_background(
        lambda: serve(VendorSettings(name="first")), lambda vendor: serve_proxy(config(vendor))
    ) as (_, served):
        yield served


def status_of(proxy, key):
    """Make a call with a key; return its status."""
    body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "Hello!"}]}
    request = Request(f"{proxy.root}/v1/chat/completions", json.dumps(body).encode())
    request.add_header("content-type", "application/json")
    request.add_header("authorization", f"Bearer {key}")
    try:
        with urlopen(request) as answer:
            return answer.status
    except HTTPError as error:
        return error.code
