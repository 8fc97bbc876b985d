"""openai-python's Responses API in front of endpoints that speak only chat, or only messages."""

import json

import pytest
from pydantic import BaseModel

from llmproxy.tools.simulator import VendorSettings, serve
from tests.clients.calls import RESPONSES_TOOLS
from tests.clients.houses import SEED
from tests.support.anthropic_loop import ToolLoop, text, thinking, tool_use
from tests.support.background import in_background
from tests.support.late import Late
from tests.support.proxy import config_for, serve_proxy
from tests.support.vendor import DOWN, LAST_CHUNK, chunk, event, http, scripted, sse_head

openai = Late("openai")

ASK = "Ask get_weather about Paris."
SIGNED = thinking("I should ask.", "c2lnbmVk")
ARGUMENTS = {"city": "Paris", "days": 1}
LOOP = [[SIGNED, text("Wait."), tool_use("toolu_1", "get_weather", ARGUMENTS)], [text("Sunny.")]]
THINK = {"effort": "low", "summary": "auto"}


class Sky(BaseModel):
    """A typed answer."""

    sky: str


def client_of(proxy):
    return openai.OpenAI(base_url=f"{proxy.root}/v1", api_key="any", max_retries=0)


def speaking(dialect, vendor, **general):
    entry = {
        "provider": "anthropic" if dialect == "messages" else "generic",
        "model": "claude-opus-4-8" if dialect == "messages" else "gpt-4.1",
        "speaks": [dialect],
        "params": {"base_url": vendor.base_url, "api_key": "sk-upstream"},
    }
    return serve_proxy(config_for(entry, **general))


@pytest.fixture
def loop():
    """A vendor that plays the loop in messages, and the proxy in front of it."""
    loop = ToolLoop(LOOP)
    with in_background(lambda: scripted(loop), lambda vendor: speaking("messages", vendor)) as (
        _,
        proxy,
    ):
        yield loop, proxy


@pytest.fixture(scope="module")
def chat():
    """A proxy in front of a simulated vendor that speaks chat."""
    with in_background(
        lambda: serve(VendorSettings(seed=SEED)), lambda vendor: speaking("chat", vendor)
    ) as (_, proxy):
        yield proxy


def whole(client, **request):
    return client.responses.create(model="gpt-4.1", tools=RESPONSES_TOOLS, **request)


def streamed(client, **request):
    with client.responses.stream(model="gpt-4.1", tools=RESPONSES_TOOLS, **request) as stream:
        for _ in stream:
            pass
        return stream.get_final_response()


def sent_back(item):
    """An item of the output as the next input has it, without what the SDK itself has parsed."""
    given = item.to_dict()
    given.pop("parsed_arguments", None)
    for part in given.get("content") or ():
        part.pop("parsed", None)
    return given


both_ways = pytest.mark.parametrize("respond", [whole, streamed])


@both_ways
def test_a_tool_loop_over_messages_gives_the_thinking_back_unchanged(loop, respond):
    vendor, proxy = loop
    items = [{"role": "user", "content": ASK}]
    with client_of(proxy) as client:
        first = respond(client, input=items, reasoning=THINK)
        kinds = [item.type for item in first.output]
        assert kinds == ["reasoning", "message", "function_call"]
        call = first.output[2]
        assert json.loads(call.arguments) == ARGUMENTS
        items += map(sent_back, first.output)
        items.append({"type": "function_call_output", "call_id": call.call_id, "output": "19"})
        second = respond(client, input=items, reasoning=THINK)
    assert second.output_text == "Sunny."
    assert vendor.refusals == []
    assert vendor.asked[1]["messages"][1]["content"][0] == SIGNED
    assert vendor.results(1) == ["19"]
    usage = second.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (14, 7, 21)
    assert usage.input_tokens_details.cached_tokens == 5


@both_ways
def test_a_tool_loop_over_chat(chat, respond):
    items = [{"role": "user", "content": ASK}]
    with client_of(chat) as client:
        first = respond(client, input=items)
        (call,) = first.output
        assert (call.type, call.name) == ("function_call", "get_weather")
        items.append(sent_back(call))
        items.append({"type": "function_call_output", "call_id": call.call_id, "output": "19"})
        second = respond(client, input=items)
    assert second.status == "completed"
    assert second.output_text
    assert second.usage.total_tokens > 0


def test_reasoning_that_openai_would_refuse_is_not_given_where_openai_may_be_asked_next():
    def in_front(down, vendor):
        entries = (("openai", "gpt-5.2", down), ("anthropic", "claude-opus-4-8", vendor))
        models = [
            {
                "provider": provider,
                "model": model,
                "tier": tier,
                "params": {"base_url": upstream.base_url, "api_key": "sk-upstream"},
            }
            for tier, (provider, model, upstream) in enumerate(entries)
        ]
        return serve_proxy({"model_groups": [{"model_group": "gpt-4.1", "models": models}]})

    with in_background(lambda: scripted(DOWN), lambda down: scripted(ToolLoop(LOOP)), in_front) as (
        _,
        _,
        proxy,
    ):
        with client_of(proxy) as client:
            response = whole(client, input=ASK, reasoning=THINK)
    assert [item.type for item in response.output] == ["message", "function_call"]


def test_a_stream_has_the_events_that_the_sdk_waits_for(loop):
    _, proxy = loop
    with client_of(proxy) as client:
        with client.responses.create(
            model="gpt-4.1", input=ASK, tools=RESPONSES_TOOLS, stream=True, reasoning=THINK
        ) as stream:
            events = list(stream)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]


def test_a_typed_answer_over_chat(chat):
    with client_of(chat) as client:
        parsed = client.responses.parse(model="gpt-4.1", input="Hello", text_format=Sky)
    assert isinstance(parsed.output_parsed, Sky)


def test_an_answer_that_is_cut_short_is_incomplete(chat):
    with client_of(chat) as client:
        cut = client.responses.create(model="gpt-4.1", input="Hello", max_output_tokens=3)
    assert (cut.status, cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"store": True}, "store"),
        ({"truncation": "auto"}, "truncation"),
    ],
)
def test_what_cannot_be_said_in_chat_is_refused_by_its_name(chat, request_, param):
    with client_of(chat) as client:
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.create(model="gpt-4.1", input="Hello", **request_)
    assert caught.value.code == "untranslatable"
    assert f"`{param}`" in str(caught.value)


def test_what_is_dropped_is_named():
    with in_background(
        lambda: serve(VendorSettings(seed=SEED)),
        lambda vendor: speaking("chat", vendor, on_untranslatable="drop"),
    ) as (_, proxy):
        with client_of(proxy) as client:
            reply = client.responses.with_raw_response.create(
                model="gpt-4.1", input="Hello", tools=[{"type": "web_search"}]
            )
    assert reply.headers["x-llmproxy-dropped"] == "tools[0]"
    assert reply.parse().output_text


@pytest.mark.parametrize("with_event", [True, False])
def test_a_stream_that_breaks_raises(with_event):
    def breaking(received, number):
        first = event({"id": "c", "model": "m", "choices": [{"delta": {"content": "Hel"}}]})
        error = event({"error": {"message": "gone", "type": "server_error", "code": None}})
        return [sse_head(), chunk(first), *([chunk(error)] if with_event else []), LAST_CHUNK]

    with in_background(lambda: scripted(breaking), lambda vendor: speaking("chat", vendor)) as (
        _,
        proxy,
    ):
        with client_of(proxy) as client:
            stream = client.responses.create(model="gpt-4.1", input="Hi", stream=True)
            with pytest.raises(openai.APIError):
                list(stream)


def test_an_error_of_anthropic_is_read_as_one_of_openai():
    def refusing(received, number):
        error = {"type": "invalid_request_error", "message": "prompt is too long: 9 > 8"}
        return [http({"type": "error", "error": error}, status=400)]

    with in_background(lambda: scripted(refusing), lambda vendor: speaking("messages", vendor)) as (
        _,
        proxy,
    ):
        with client_of(proxy) as client, pytest.raises(openai.BadRequestError) as caught:
            client.responses.create(model="gpt-4.1", input="Hi")
    assert caught.value.code == "context_length_exceeded"
