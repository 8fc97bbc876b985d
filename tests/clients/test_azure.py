"""Every way in which clients address Azure or OpenAI, in front of every way in which vendors are
addressed: the answer is the one that the vendor gives to a client of its own kind."""

import pytest

from llmproxy.tools.simulator import VendorSettings
from tests.clients.calls import CHATS, OTHERS, RESPONSES
from tests.clients.comparing import Place
from tests.clients.houses import SEED, everything_to
from tests.support.background import in_background
from tests.support.full_vendor import serve_full
from tests.support.proxy import config_for, serve_proxy

VERSION = "2024-10-21"
MODEL = "gpt-4.1"
ASKED = {"messages": [{"role": "user", "content": "hi"}]}
# Of all calls, one of each shape: body, stream, events, form, bytes, and those that name no model
# in Azure's path.
CALLS = {
    "a chat": CHATS["a chat"],
    "a stream": CHATS["a stream with usage"],
    "a tool call": CHATS["a tool call"],
    "a completion": CHATS["a completion"],
    "an embedding": OTHERS["an embedding"],
    "speech": OTHERS["speech"],
    "a transcription": OTHERS["a transcription"],
    "an image": OTHERS["an image"],
    "a response": RESPONSES["a response"],
    "a streamed response": RESPONSES["a streamed response"],
}

# How a client is pointed at a place, be it a vendor or the proxy.
INBOUND = {
    "openai": lambda style, at: style.openai(at.base_url),
    "openai without v1": lambda style, at: style.openai(at.root),
    "azure classic": lambda style, at: style.azure(at.root),
    "azure v1": lambda style, at: style.openai(at.azure_v1_url),
}
# The kinds of vendor: the style of their own clients, and how an endpoint of theirs is configured.
VENDORS = {
    "openai": lambda vendor: {"base_url": vendor.base_url},
    "azure classic": lambda vendor: {"azure_endpoint": vendor.root, "api_version": VERSION},
    "azure v1": lambda vendor: {"base_url": vendor.azure_v1_url},
}


def _config(vendor, kind):
    entry = {"model": MODEL, "params": {"api_key": "upstream", **VENDORS[kind](vendor)}}
    if kind == "azure v1":
        entry["provider"] = "azure"
    return config_for(entry, group="our-model", num_retries=0)


@pytest.fixture(scope="module", params=VENDORS)
def house(request):
    """One vendor of a kind, and a proxy in front of it that calls its model `our-model`."""
    kind = request.param
    dialect = "openai" if kind == "openai" else "azure"
    settings = VendorSettings(seed=SEED, dialect=dialect, models=(MODEL,), keys=None)
    with in_background(
        lambda: serve_full(settings), lambda vendor: serve_proxy(_config(vendor, kind))
    ) as (vendor, proxy):
        yield kind, Place(vendor.root), Place(proxy.root)


@pytest.mark.parametrize("inbound", INBOUND)
@pytest.mark.parametrize("name", CALLS)
def test_any_style_of_client_gets_what_the_vendors_own_client_gets(name, inbound, style, house):
    kind, vendor, proxy = house
    own, ours = INBOUND[kind](style, vendor), INBOUND[inbound](style, proxy)
    direct = style.end(lambda: CALLS[name](own, lambda _: MODEL))
    assert "error" not in direct
    assert style.end(lambda: CALLS[name](ours, lambda _: "our-model")) == direct


@pytest.mark.parametrize("inbound", INBOUND)
def test_any_style_of_client_gets_the_vendors_own_refusal(inbound, style, house):
    kind, vendor, proxy = house
    own, ours = INBOUND[kind](style, vendor), INBOUND[inbound](style, proxy)
    refused = {"messages": [], "extra_headers": {"x-simulator-fault": "status:content_filter"}}
    direct = style.end(lambda: own.chat.completions.create(model=MODEL, **refused))
    assert direct["error"]["code"] == "content_filter"
    assert style.end(lambda: ours.chat.completions.create(model="our-model", **refused)) == direct


def test_a_client_with_one_deployment_reaches_the_group_of_that_name(style, house):
    kind, vendor, proxy = house
    own = INBOUND[kind](style, vendor)
    ours = style.azure(proxy.root, azure_deployment="our-model")
    direct = style.end(lambda: CALLS["a chat"](own, lambda _: MODEL))
    assert style.end(lambda: CALLS["a chat"](ours, lambda _: "anything")) == direct


def test_the_headers_of_an_azure_vendor_arrive(house, sync):
    kind, _, proxy = house
    client = sync.azure(proxy.root)
    raw = client.chat.completions.with_raw_response.create(model="our-model", **ASKED)
    remaining = raw.headers["x-ratelimit-remaining-requests"]
    assert remaining.isdigit()
    assert raw.headers["x-llmproxy-endpoint"]
    if kind != "openai":
        assert raw.headers["x-ms-region"] == "East US"
        assert raw.headers["x-request-id"] == raw.headers["apim-request-id"]


def test_a_model_with_a_slash_in_its_name_can_be_asked_for_as_a_deployment(sync):
    with in_background(
        lambda: serve_full(VendorSettings(seed=SEED)),
        lambda vendor: serve_proxy(everything_to(vendor.base_url)),
    ) as (_, proxy):
        name = "meta-llama/Llama-3.1-8B"
        chat = sync.azure(proxy.root).chat.completions.create(model=name, **ASKED)
        assert chat.model == name
