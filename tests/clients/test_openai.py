"""openai-python, sync and async, gets through the proxy exactly what it gets from the vendor."""

import pytest

from llmproxy.tools.simulator import VendorSettings
from llmproxy.tools.simulator.settings import USUAL_MODELS
from tests.clients.calls import (
    CHAT,
    CHATS,
    HELLO,
    OTHERS,
    RESPONSES,
    RESPONSES_TOOLS,
    SPEECH,
    TOOLS,
    WEATHER,
    Weather,
)
from tests.clients.houses import MODELS, SEED, everything_to
from tests.support.background import in_background
from tests.support.full_vendor import serve_full
from tests.support.proxy import serve_proxy

# Hugging Face's names, so vLLM's, Together's and OpenRouter's; the SDK encodes the slash.
SLASHED = "meta-llama/Llama-3.1-8B"
CALLS = {**CHATS, **RESPONSES, **OTHERS}
SHOUTED = " ".join(["Hello there."] * 400)

# The SDK marks some methods as deprecated; and it fills fields with what their types do not name.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize("name", CALLS)
def test_a_call_ends_the_same_through_the_proxy(name, style, places):
    call = CALLS[name]
    ends = {
        key: style.end(lambda at=place: call(style.openai(at.base_url), at.model))
        for key, place in places.items()
    }
    assert "error" not in ends["direct"]
    assert ends["passing"] == ends["direct"]
    assert ends["renaming"] == ends["direct"]


HELPED = {
    "chat": lambda c, m: c.chat.completions.stream(model=m(CHAT), messages=HELLO),
    "chat with tools": lambda c, m: c.chat.completions.stream(
        model=m(CHAT), messages=WEATHER, tools=TOOLS, stream_options={"include_usage": True}
    ),
    "chat that is parsed": lambda c, m: c.chat.completions.stream(
        model=m(CHAT), messages=HELLO, response_format=Weather
    ),
    "responses": lambda c, m: c.responses.stream(model=m(CHAT), input="Hello"),
    "responses with tools": lambda c, m: c.responses.stream(
        model=m(CHAT), input=WEATHER, tools=RESPONSES_TOOLS
    ),
    "responses that are parsed": lambda c, m: c.responses.stream(
        model=m(CHAT), input="Hello", text_format=Weather
    ),
}


@pytest.mark.parametrize("name", HELPED)
def test_the_stream_helper_tells_the_same_events_and_the_same_end(name, style, places):
    ends = [
        style.helped(lambda at=place: HELPED[name](style.openai(at.base_url), at.model))
        for place in places.values()
    ]
    events, final = ends[0]
    assert len(events) > 3
    assert final
    assert ends[1:] == [ends[0], ends[0]]


def test_long_speech_can_be_taken_as_it_comes(style, places):
    ends = [
        style.streamed_bytes(
            lambda at=place: style.openai(at.base_url).audio.speech.with_streaming_response.create(
                model=at.model(SPEECH), voice="alloy", input=SHOUTED, response_format="pcm"
            )
        )
        for place in places.values()
    ]
    assert len(ends[0][1]) > 500_000
    assert ends[1:] == [ends[0], ends[0]]


def test_the_models_are_those_of_the_vendor_when_every_name_passes(style, places):
    direct, passing = [
        style.listed(lambda at=places[key]: style.openai(at.base_url).models.list())
        for key in ("direct", "passing")
    ]
    assert [model.id for model in direct] == list(USUAL_MODELS)
    assert passing == direct


def test_the_models_are_the_groups_when_they_have_names(style, places):
    client = style.openai(places["renaming"].base_url)
    ours = [f"our-{name}" for name in MODELS]
    assert [model.id for model in style.listed(client.models.list)] == ours
    assert style.call(lambda: client.models.retrieve(ours[0])).id == ours[0]


@pytest.mark.parametrize("name", ["gpt-4.1", "no such model", SLASHED])
def test_one_model_is_told_or_denied_as_the_vendor_does(name, style, places):
    direct, passing = [
        style.end(lambda at=places[key]: style.openai(at.base_url).models.retrieve(name))
        for key in ("direct", "passing")
    ]
    assert passing == direct


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_stored_response_can_be_continued_retrieved_and_deleted(stream, style, places):
    direct, passing = [
        _life_of_a_response(style, style.openai(places[key].base_url), stream=stream)
        for key in ("direct", "passing")
    ]
    assert ["error" in end for end in direct] == [False] * 5 + [True]
    assert direct[-1]["error"]["class"] == "NotFoundError"
    assert passing == direct


def _life_of_a_response(style, client, *, stream):
    responses = client.responses
    first = style.call(lambda: responses.create(model=CHAT, input="Hello"))
    more = {"model": CHAT, "input": "And then?", "previous_response_id": first.id}
    steps = [
        lambda: responses.create(**more, stream=stream),
        lambda: responses.retrieve(first.id),
        lambda: responses.retrieve(first.id, stream=True, starting_after=3),
        lambda: responses.input_items.list(first.id),
        lambda: responses.delete(first.id),
        lambda: responses.retrieve(first.id),
    ]
    return [style.end(step) for step in steps]


# Ids and counters, which differ with every call.
VARIED = ("x-request-id", "remaining", "reset", "openai-processing-ms")
# Framing, which is each connection's own; and whose account it was.
FRAMING = ("content-length", "transfer-encoding", "connection")
ACCOUNT = ("set-cookie", "openai-organization", "openai-project")
DROPPED = (*FRAMING, *ACCOUNT)
ADDED = ("x-llmproxy-endpoint", "x-llmproxy-attempts")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_headers_are_the_vendors_and_ours(stream, style, places):
    direct, passing = [
        style.call(
            lambda at=places[key]: style.openai(
                at.base_url
            ).chat.completions.with_raw_response.create(model=CHAT, messages=HELLO, stream=stream)
        ).headers
        for key in ("direct", "passing")
    ]
    names = [name for name in direct if name not in DROPPED]
    assert [name for name in passing if name not in (*DROPPED, *ADDED)] == names
    for name in names:
        if not any(part in name for part in VARIED):
            assert passing[name] == direct[name]
    assert set(passing) >= set(ADDED)
    assert not set(passing) & set(ACCOUNT)


@pytest.mark.parametrize("name", ["a chat", "a stream", "an embedding", "a transcription"])
def test_an_answer_that_the_vendor_compresses_is_the_same_through_the_proxy(name, sync):
    with in_background(
        lambda: serve_full(VendorSettings(seed=SEED, compress=True)),
        lambda vendor: serve_proxy(everything_to(vendor.base_url)),
    ) as (vendor, proxy):
        direct, passing = [
            sync.end(lambda at=at: CALLS[name](sync.openai(at), str))
            for at in (vendor.base_url, proxy.base_url)
        ]
    assert "error" not in direct
    assert passing == direct


def test_a_client_may_bring_its_own_key(sync):
    with in_background(
        lambda: serve_full(VendorSettings(seed=SEED, keys=frozenset(["sk-of-the-client"]))),
        lambda vendor: serve_proxy(everything_to(vendor.base_url, api_key=None)),
    ) as (vendor, proxy):
        for key, refused in (("sk-of-the-client", False), ("sk-of-nobody-at-all", True)):
            direct, passing = [
                sync.end(lambda at=at, key=key: CALLS["a chat"](sync.openai(at, api_key=key), str))
                for at in (vendor.base_url, proxy.base_url)
            ]
            assert passing == direct
            assert ("error" in direct) is refused
