"""What lives in one account passes with one endpoint, and with two."""

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


def test_files_live_through_a_proxy_of_two_endpoints_as_at_one(style, two):
    proxy, vendors = two
    before = [vendor.counts.total() for vendor in vendors]
    for _ in range(2):
        life = _life_of_a_file(style, style.openai(Place(proxy.root).base_url))
        assert ["error" in end for end in life] == [False] * 4 + [True]
    after = [vendor.counts.total() for vendor in vendors]
    assert all(now > then for then, now in zip(before, after, strict=True))


REFUSED = {
    "files.delete": lambda c: c.files.delete("file-1"),
    "batches.cancel": lambda c: c.batches.cancel("batch_1"),
    "responses.delete": lambda c: c.responses.delete("resp_1"),
    "responses.create": lambda c: c.responses.create(
        model="m", input="x", previous_response_id="resp_1"
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_nobody_knows_is_neither_changed_nor_continued_at_a_guess(name, style, two):
    proxy, vendors = two
    client = style.openai(Place(proxy.root).base_url)
    before = [vendor.counts.total() for vendor in vendors]
    with pytest.raises(openai.NotFoundError) as caught:
        style.call(lambda: REFUSED[name](client))
    error = caught.value
    assert error.code == "unknown_id"
    assert error.response.headers["x-llmproxy-error-source"] == "proxy"
    assert error.request_id
    assert [vendor.counts.total() for vendor in vendors] == before
