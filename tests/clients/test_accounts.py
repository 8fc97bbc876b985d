"""What lives in one account passes with one endpoint and is refused clearly with two."""

import openai
import pytest

from llmproxy.tools.simulator import VendorSettings
from tests.clients.comparing import Place
from tests.clients.houses import SEED
from tests.support.background import in_background
from tests.support.full_vendor import serve_full
from tests.support.proxy import config_for, serve_proxy

FILE = {"file": ("lines.jsonl", b'{"a": 1}\n' * 1000), "purpose": "batch"}


def test_files_live_through_a_proxy_of_one_endpoint(style, places):
    direct, passing = [
        _life_of_a_file(style, style.openai(places[key].base_url)) for key in ("direct", "passing")
    ]
    assert ["error" in end for end in direct] == [False] * 4 + [True]
    assert direct[0]["value"]["fields"]["bytes"] == 9000
    assert passing == direct


def _life_of_a_file(style, client):
    files = client.files
    created = style.call(lambda: files.create(**FILE))
    steps = [
        lambda: files.retrieve(created.id),
        lambda: files.content(created.id),
        files.list,
        lambda: files.delete(created.id),
        lambda: files.retrieve(created.id),
    ]
    return [style.end(step) for step in steps]


@pytest.fixture(scope="module")
def two():
    """A proxy with two endpoints in its one group."""
    with in_background(
        lambda: serve_full(VendorSettings(seed=SEED)),
        lambda _: serve_full(VendorSettings(seed=SEED)),
        lambda one, other: serve_proxy(config_for(one.base_url, other.base_url, group="*")),
    ) as (one, other, proxy):
        yield proxy, (one, other)


REFUSED = {
    "files.create": lambda c: c.files.create(**FILE),
    "files.retrieve": lambda c: c.files.retrieve("file-1"),
    "files.content": lambda c: c.files.content("file-1"),
    "batches.create": lambda c: c.batches.create(
        input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h"
    ),
    "responses.retrieve": lambda c: c.responses.retrieve("resp_1"),
    "responses.delete": lambda c: c.responses.delete("resp_1"),
    "vector_stores.create": lambda c: c.vector_stores.create(name="x"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_with_two_endpoints_the_proxy_says_that_it_cannot_tell_which_is_meant(name, style, two):
    proxy, vendors = two
    client = style.openai(Place(proxy.root).base_url)
    with pytest.raises(openai.APIStatusError) as caught:
        style.call(lambda: REFUSED[name](client))
    error = caught.value
    assert error.status_code == 501
    assert error.code == "account_bound_path"
    assert "2 endpoints" in error.message
    assert error.response.headers["x-llmproxy-error-source"] == "proxy"
    assert error.request_id
    assert [vendor.counts.total() for vendor in vendors] == [0, 0]


def test_the_client_does_not_ask_again_for_what_cannot_be_served(sync, two):
    proxy, _ = two
    before = len(proxy.events.calls)
    with pytest.raises(openai.APIStatusError):
        sync.openai(proxy.base_url, max_retries=1).files.retrieve("file-1")
    assert len(proxy.events.calls) - before == 1
