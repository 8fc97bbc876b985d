"""openai-python gets the same objects from a hit as from its miss, as JSON and as a stream."""

from time import monotonic, sleep

import pytest
from openai import OpenAI, Stream
from openai.lib.streaming.chat import ChatCompletionStreamState

from llmproxy.tools.simulator import VendorSettings
from tests.clients.calls import (
    CHAT,
    CHATS,
    HELLO,
    OTHERS,
    REFUSE,
    RESPONSES,
    RESPONSES_TOOLS,
    TOOLS,
    WEATHER,
    Weather,
)
from tests.clients.comparing import plain
from tests.clients.houses import everything_to
from tests.support.background import in_background
from tests.support.full_vendor import serve_full
from tests.support.proxy import serve_proxy

# A response that reaches its limit is `incomplete`; the other cases are not cacheable.
ASKED_AGAIN = ("a response cut short", "a streamed response cut short", "a count of input tokens")
REPEATED = {
    name: call
    for name, call in {**CHATS, **RESPONSES, **OTHERS}.items()
    if name not in ASKED_AGAIN and (name in CHATS or name in RESPONSES or "mbedding" in name)
} | {"moderations": OTHERS["moderations"]}

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class House:
    """A vendor, and a proxy in front of it that caches everything."""

    def __init__(self, vendor, proxy):
        self.vendor = vendor
        self.proxy = proxy
        self.seen = 0

    def client(self, case):
        """Return a client with a cache scope of its own for a case."""
        return OpenAI(
            base_url=self.proxy.base_url,
            api_key="any",
            max_retries=0,
            default_query={"case": case},
        )

    def words(self, calls):
        """Return the cache results of the next calls."""
        ends_at = monotonic() + 5
        while len(self.proxy.events.calls) < self.seen + calls and monotonic() < ends_at:
            sleep(0.001)  # the client has its answer before the proxy records the call
        new_calls = self.proxy.events.calls[self.seen :]
        self.seen += len(new_calls)
        return [event.record.cache for event in new_calls]


@pytest.fixture(scope="module", params=["openai", "azure"])
def deployment(request):
    def with_cache(vendor):
        azure = request.param == "azure"
        config = everything_to(vendor.azure_v1_url if azure else vendor.base_url)
        if azure:
            config["model_groups"][0]["models"][0]["provider"] = "azure"
        config["general_settings"] |= {"cache": True, "cache_params": {"mode": "all"}}
        return serve_proxy(config)

    settings = VendorSettings(dialect=request.param)
    with in_background(lambda: serve_full(settings), with_cache) as (vendor, proxy):
        yield House(vendor, proxy)


def whole(answer):
    """Return an answer, or all chunks of a stream."""
    return [plain(chunk) for chunk in answer] if isinstance(answer, Stream) else plain(answer)


@pytest.mark.parametrize("name", REPEATED)
def test_a_hit_is_equal_to_its_miss(name, deployment):
    with deployment.client(name) as client:
        first, again = [whole(REPEATED[name](client, lambda model: model)) for _ in range(2)]
    assert deployment.words(2) == ["miss", "hit"]
    assert again == first


@pytest.mark.parametrize("name", ["a response cut short", "a streamed response cut short"])
def test_incomplete_answers_are_asked_again(name, deployment):
    with deployment.client(name) as client:
        for _ in range(2):
            whole(RESPONSES[name](client, lambda model: model))
    assert deployment.words(2) == ["miss", "miss"]


QUESTIONS = {
    "text": {"messages": HELLO},
    "two choices": {"messages": HELLO, "n": 2},
    "cut short": {"messages": HELLO, "max_completion_tokens": 3},
    "tools": {"messages": WEATHER, "tools": TOOLS},
    "a refusal": {"messages": HELLO, "extra_headers": REFUSE},
    "JSON": {"messages": HELLO, "response_format": {"type": "json_object"}},
}
USAGE = {"stream_options": {"include_usage": True}}


def assembled(stream):
    """Return a stream as added up by the SDK."""
    state = ChatCompletionStreamState()
    for chunk in stream:
        if chunk.id:  # Azure's first chunk is empty, and would mislead the SDK
            state.handle_chunk(chunk)
    return state.current_completion_snapshot


def comparable(completion):
    """Return the fields of a completion that a stream has, too."""
    value = completion.model_dump(
        exclude_none=True, exclude={"prompt_filter_results"}, warnings=False
    )
    for choice in value["choices"]:
        choice.pop("content_filter_results", None)  # the SDK does not add it up
        for key in ("parsed", "annotations"):
            choice["message"].pop(key, None)
        for call in choice["message"].get("tool_calls", ()):
            call.pop("index", None)
            call["function"].pop("parsed_arguments", None)
    return value


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_json_chat_is_served_as_a_stream(name, deployment):
    question = {"model": CHAT, **QUESTIONS[name]}
    with deployment.client(f"{name}, whole") as client:
        first = client.chat.completions.create(**question)
        again = assembled(client.chat.completions.create(**question, **USAGE, stream=True))
        frugal = list(client.chat.completions.create(**question, stream=True))
    assert deployment.words(3) == ["miss", "hit", "hit"]
    assert comparable(again) == comparable(first)
    assert all(chunk.usage is None and chunk.choices for chunk in frugal if chunk.id)


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_streamed_chat_is_served_as_json(name, deployment):
    question = {"model": CHAT, **QUESTIONS[name]}
    with deployment.client(f"{name}, streamed") as client:
        first = list(client.chat.completions.create(**question, **USAGE, stream=True))
        again = client.chat.completions.create(**question)
        frugal = list(client.chat.completions.create(**question, stream=True))
    assert deployment.words(3) == ["miss", "hit", "hit"]
    assert comparable(again) == comparable(assembled(first))
    assert frugal == [chunk for chunk in first if chunk.usage is None]


def test_a_stream_without_usage_does_not_serve_a_call_that_needs_usage(deployment):
    question = {"model": CHAT, "messages": HELLO}
    with deployment.client("without usage") as client:
        list(client.chat.completions.create(**question, stream=True))
        assert client.chat.completions.create(**question).usage.total_tokens > 0
        list(client.chat.completions.create(**question, stream=True))
    assert deployment.words(3) == ["miss", "miss", "hit"]


RESPONSES_QUESTIONS = {
    "text": {"input": "Hello, wörld!"},
    "tools": {"input": WEATHER, "tools": RESPONSES_TOOLS},
    "a refusal": {"input": "Hello", "extra_headers": REFUSE},
}


@pytest.mark.parametrize("streamed_first", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", RESPONSES_QUESTIONS)
def test_a_response_is_the_same_as_json_and_as_a_stream(name, streamed_first, deployment):
    question = {"model": CHAT, **RESPONSES_QUESTIONS[name]}
    kinds = [streamed_first, not streamed_first]
    with deployment.client(f"response, {name}, {streamed_first}") as client:
        answers = {}
        for kind in kinds:
            answer = client.responses.create(**question, stream=kind)
            answers[kind] = list(answer) if kind else answer
    assert deployment.words(2) == ["miss", "hit"]
    assert answers[True][-1].response == answers[False]
    assert [event.sequence_number for event in answers[True]] == list(range(len(answers[True])))


def test_the_sdks_stream_helper_reads_a_replayed_stream(deployment):
    with deployment.client("helper") as client:
        parsed = client.chat.completions.parse(model=CHAT, messages=HELLO, response_format=Weather)
        with client.chat.completions.stream(
            model=CHAT, messages=HELLO, response_format=Weather
        ) as stream:
            again = stream.get_final_completion()
    assert deployment.words(2) == ["miss", "hit"]
    assert again.choices[0].message.parsed == parsed.choices[0].message.parsed
