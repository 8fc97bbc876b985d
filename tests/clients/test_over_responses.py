"""Clients of chat and of messages, in front of an endpoint that speaks only the Responses API."""

import json

import pytest

from llmproxy.tools.simulator import VendorSettings, serve
from tests.clients.calls import AFTER_TOOL, HELLO, PARAMETERS, TOOLS, WEATHER
from tests.clients.houses import SEED
from tests.support.background import in_background
from tests.support.late import Late
from tests.support.proxy import config_for, serve_proxy
from tests.support.vendor import chunk, scripted, sse_head

anthropic = Late("anthropic")
openai = Late("openai")

MESSAGES_TOOLS = [{"name": "get_weather", "input_schema": PARAMETERS}]


def in_front(vendor):
    params = {"base_url": vendor.base_url, "api_key": "sk-upstream"}
    return serve_proxy(config_for({"speaks": ["responses"], "params": params}))


@pytest.fixture(scope="module")
def proxy():
    """A proxy in front of a simulated vendor, of which it uses the Responses API."""
    with in_background(lambda: serve(VendorSettings(seed=SEED)), in_front) as (_, proxy):
        yield proxy


@pytest.fixture
def chat(proxy):
    with openai.OpenAI(base_url=f"{proxy.root}/v1", api_key="any", max_retries=0) as client:
        yield client.chat.completions


@pytest.fixture
def messages(proxy):
    with anthropic.Anthropic(base_url=proxy.root, api_key="any", max_retries=0) as client:
        yield client.messages


def test_a_chat_calls_a_tool_and_reads_its_result(chat):
    first = chat.create(model="gpt-4.1", messages=WEATHER, tools=TOOLS)
    (call,) = first.choices[0].message.tool_calls
    assert (call.function.name, first.choices[0].finish_reason) == ("get_weather", "tool_calls")
    second = chat.create(model="gpt-4.1", messages=AFTER_TOOL, tools=TOOLS)
    assert second.choices[0].message.content
    assert second.usage.total_tokens > 0


def test_a_chat_streams_text_and_usage(chat):
    with chat.stream(
        model="gpt-4.1", messages=HELLO, stream_options={"include_usage": True}
    ) as stream:
        whole = stream.until_done().get_final_completion()
    assert whole.choices[0].message.content
    assert whole.usage.completion_tokens > 0


def test_a_message_calls_a_tool_and_reads_its_result(messages):
    asked = {"model": "gpt-4.1", "max_tokens": 100, "tools": MESSAGES_TOOLS}
    turns = [{"role": "user", "content": WEATHER[0]["content"]}]
    with messages.stream(**asked, messages=turns) as stream:
        first = stream.get_final_message()
    assert first.stop_reason == "tool_use"
    call = next(block for block in first.content if block.type == "tool_use")
    assert set(call.input) == {"city", "days"}
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "19", "is_error": True}
    turns.append({"role": "assistant", "content": [block.to_dict() for block in first.content]})
    turns.append({"role": "user", "content": [result]})
    second = messages.create(**asked, messages=turns)
    assert second.stop_reason == "end_turn"
    assert second.content[0].text


def test_a_message_that_is_cut_short_says_so(messages):
    cut = messages.create(
        model="gpt-4.1", max_tokens=3, messages=[{"role": "user", "content": "Hello"}]
    )
    assert cut.stop_reason == "max_tokens"


def test_what_responses_cannot_say_is_refused_by_its_name(messages):
    with pytest.raises(anthropic.BadRequestError) as caught:
        messages.create(
            model="gpt-4.1",
            max_tokens=3,
            messages=[{"role": "user", "content": "Hello"}],
            stop_sequences=["x"],
        )
    assert "`stop_sequences`" in str(caught.value)


def test_a_response_that_fails_in_the_middle_raises_in_messages():
    def failing(received, number):
        response = {"id": "resp_1", "model": "m", "status": "in_progress"}
        item = {"type": "message", "id": "msg_1", "content": []}
        error = {"code": "server_error", "message": "gone"}
        events = [
            {"type": "response.created", "response": response},
            {"type": "response.output_item.added", "output_index": 0, "item": item},
            {"type": "response.output_text.delta", "output_index": 0, "delta": "Hel"},
            {"type": "response.failed", "response": {**response, "error": error}},
        ]
        return [sse_head(), *(chunk(b"data: %b\n\n" % json.dumps(e).encode()) for e in events)]

    with in_background(lambda: scripted(failing), in_front) as (_, proxy):
        with anthropic.Anthropic(base_url=proxy.root, api_key="any", max_retries=0) as client:
            with pytest.raises(anthropic.APIError, match="gone"):
                with client.messages.stream(
                    model="gpt-4.1", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]
                ) as stream:
                    stream.get_final_message()
