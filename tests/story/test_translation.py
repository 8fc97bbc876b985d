"""Calls reach endpoints that do not speak their dialect, over real sockets, with the real SDKs."""

import json

import openai
import pytest

from tests.support.client import ask
from tests.support.dialects import (
    ANTHROPICS,
    ANTHROPICS_STREAM,
    ASKED,
    CHAT,
    HI,
    MESSAGE,
    MESSAGES,
    WEATHER,
    at,
    called,
    stream,
    usage_chunk,
)
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import (
    DONE,
    always,
    chat,
    delta,
    http,
    scripted,
)

# ---- a client of messages, in front of OpenAI


@bounded()
async def test_a_message_is_asked_and_answered_over_chat():
    async with scripted(always(http(chat("hello")))) as vendor:
        async with serve_proxy(config_for(at(vendor, "openai", model="gpt-5.2"))) as proxy:
            reply = await ask(proxy.port, MESSAGES, {**MESSAGE, "system": "Be brief."})
    (got,) = vendor.received
    assert got.line.startswith("POST /v1/chat/completions ")
    assert got.header("authorization") == "Bearer sk-ours"
    assert json.loads(got.body) == {
        "model": "gpt-5.2",
        "messages": [{"role": "system", "content": "Be brief."}, *HI],
        "max_completion_tokens": 50,
    }
    assert reply.status == 200
    assert reply.json["content"] == [{"type": "text", "text": "hello"}]
    assert reply.json["usage"]["output_tokens"] == 2
    assert reply.json["stop_reason"] == "end_turn"
    assert reply.header("x-llmproxy-dropped") is None
    (call,) = proxy.events.calls
    assert (call.record.answer.usage.input_tokens, call.record.answer.usage.output_tokens) == (3, 2)


@bounded()
async def test_the_anthropic_sdk_runs_a_tool_loop_in_front_of_openai(anthropic):
    tools = [{"name": "weather", "description": "Look it up.", "input_schema": WEATHER}]
    calls = [
        *called(0, "call_1", "weather", '{"ci', 'ty": "Oslo"}'),
        *called(1, "call_2", "weather", '{"city"', ': "Rome"}'),
    ]
    answers = [
        stream(delta("Let me see."), *calls, delta(finish="tool_calls"), usage_chunk(), DONE),
        stream(delta("Oslo: 3, "), delta("Rome: 20."), delta(finish="stop"), usage_chunk(), DONE),
    ]
    async with scripted(lambda got, number: answers[number - 1](got, number)) as vendor:
        async with serve_proxy(config_for(at(vendor, "openai"))) as proxy:
            client = anthropic.AsyncAnthropic(base_url=proxy.root, api_key="x", max_retries=0)
            asked = [{"role": "user", "content": "Weather in Oslo and Rome?"}]
            common = {"model": "gpt-4.1", "max_tokens": 100, "tools": tools}
            async with client.messages.stream(messages=asked, **common) as running:
                first = await running.get_final_message()
            results = [
                {"type": "tool_result", "tool_use_id": block.id, "content": str(degrees)}
                for block, degrees in zip(first.content[1:], (3, 20), strict=True)
            ]
            turn = [block.model_dump(exclude_none=True) for block in first.content]
            asked += [{"role": "assistant", "content": turn}, {"role": "user", "content": results}]
            async with client.messages.stream(messages=asked, **common) as running:
                second = await running.get_final_message()
            await client.close()
    assert first.stop_reason == "tool_use"
    assert [block.input for block in first.content[1:]] == [{"city": "Oslo"}, {"city": "Rome"}]
    assert second.content[0].text == "Oslo: 3, Rome: 20."
    assert second.usage.input_tokens == 3
    sent = json.loads(vendor.received[1].body)["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "tool"]
    assert [message["tool_call_id"] for message in sent[2:]] == ["call_1", "call_2"]


# ---- a client of chat, in front of Anthropic


@bounded()
async def test_a_chat_call_is_asked_and_answered_over_messages():
    async with scripted(always(http(ANTHROPICS))) as vendor:
        config = config_for(at(vendor, "anthropic", model="claude-opus-4-8"))
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, CHAT, ASKED, headers=[("accept-encoding", "gzip")])
    (got,) = vendor.received
    assert got.line.startswith("POST /v1/messages ")
    assert got.header("x-api-key") == "sk-ours"
    assert got.header("authorization") is None
    assert got.header("anthropic-version") == "2023-06-01"
    assert got.header("accept-encoding") is None
    assert json.loads(got.body) == {
        "model": "claude-opus-4-8",
        "max_tokens": 32000,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
    }
    assert reply.json["choices"][0]["message"]["content"] == "Hello"
    assert reply.json["choices"][0]["finish_reason"] == "stop"
    assert reply.json["usage"]["prompt_tokens"] == 14
    assert reply.json["usage"]["prompt_tokens_details"]["cached_tokens"] == 4
    assert reply.json["created"] > 1


@bounded()
async def test_the_openai_sdk_streams_in_front_of_anthropic():
    async with scripted(stream(*ANTHROPICS_STREAM)) as vendor:
        async with serve_proxy(config_for(at(vendor, "anthropic"))) as proxy:
            client = openai.AsyncOpenAI(base_url=proxy.base_url, api_key="x", max_retries=0)
            running = await client.chat.completions.create(
                **ASKED, stream=True, stream_options={"include_usage": True}
            )
            chunks = [one async for one in running]
            await client.close()
    said = [choice.delta.content for one in chunks for choice in one.choices]
    assert "".join(text or "" for text in said) == "Hello"
    assert chunks[-1].usage.prompt_tokens == 14
    assert chunks[-1].usage.completion_tokens == 2
    assert proxy.events.calls[0].record.answer.usage.output_tokens == 2


@bounded()
async def test_an_entry_that_says_chat_gets_chat():
    async with scripted(always(http(chat("good")))) as vendor:
        config = config_for(at(vendor, "anthropic", speaks=["messages", "chat"]))
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, CHAT, ASKED)
    assert vendor.received[0].line.startswith("POST /v1/chat/completions ")
    assert vendor.received[0].header("authorization") == "Bearer sk-ours"
    assert reply.json == chat("good")


@bounded()
async def test_without_the_battery_every_endpoint_gets_the_clients_dialect():
    async with scripted(always(http(chat("good")))) as vendor:
        config = config_for(at(vendor, "anthropic"))
        async with serve_proxy(config, without=["translation"]) as proxy:
            reply = await ask(proxy.port, CHAT, ASKED)
    assert vendor.received[0].line.startswith("POST /v1/chat/completions ")
    assert reply.json == chat("good")


# ---- groups of both worlds


@pytest.mark.parametrize("streamed", [False, True])
@bounded()
async def test_in_a_mixed_group_the_other_world_answers_when_one_is_down(streamed):
    good = (
        stream(delta("Hi!"), delta(finish="stop"), DONE) if streamed else always(http(chat("Hi!")))
    )
    down = always(http({"type": "error", "error": {"type": "api_error"}}, status=500))
    async with scripted(down) as native, scripted(good) as foreign:
        config = config_for(
            at(native, "anthropic", name="claude"), at(foreign, "openai", name="gpt", tier=1)
        )
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, MESSAGES, {**MESSAGE, "stream": streamed})
    assert reply.header("x-llmproxy-endpoint") == "gpt"
    assert b"Hi!" in reply.body
    assert (b"event: message_stop" in reply.body) is streamed


@bounded()
async def test_what_speaks_the_dialect_gets_every_byte():
    body = b'{"model": "gpt-4.1",  "max_tokens":5,"messages":[{"role":"user","content":"Hi"}]}'
    async with scripted(always(http(ANTHROPICS))) as vendor:
        async with serve_proxy(config_for(at(vendor, "anthropic"))) as proxy:
            reply = await ask(proxy.port, MESSAGES, body)
    assert vendor.received[0].body == body
    assert reply.json == ANTHROPICS


# ---- a server that is not recognised


def only(path, payload):
    """A server that knows one path; it answers others as web frameworks do."""

    def script(got, number):
        if got.line.split()[1] == path:
            return always(http(payload))(got, number)
        return always(http({"detail": "Not Found"}, status=404))(got, number)

    return script


@bounded()
async def test_a_server_without_the_path_of_a_dialect_is_asked_again_in_chat_and_from_then_on():
    async with scripted(only(CHAT, chat("hello"))) as vendor:
        config = config_for({"params": {"base_url": vendor.base_url}}, num_retries=0)
        async with serve_proxy(config) as proxy:
            first = await ask(proxy.port, MESSAGES, MESSAGE)
            second = await ask(proxy.port, MESSAGES, MESSAGE)
    assert [got.line.split()[1] for got in vendor.received] == [MESSAGES, CHAT, CHAT]
    assert [reply.status for reply in (first, second)] == [200, 200]
    assert first.json["content"] == [{"type": "text", "text": "hello"}]


@bounded()
async def test_a_server_that_is_not_recognised_and_speaks_messages_gets_the_clients_bytes():
    async with scripted(only(MESSAGES, ANTHROPICS)) as vendor:
        config = config_for({"params": {"base_url": vendor.base_url}})
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, MESSAGES, MESSAGE)
    (got,) = vendor.received
    assert (got.line.split()[1], json.loads(got.body)) == (MESSAGES, MESSAGE)
    assert reply.json == ANTHROPICS


@bounded()
async def test_a_404_about_the_model_is_passed_on_and_says_nothing_about_the_dialect():
    error = {"type": "not_found_error", "message": "model: claude-9"}
    missing = always(http({"type": "error", "error": error}, status=404))
    async with scripted(missing) as vendor:
        config = config_for({"params": {"base_url": vendor.base_url}})
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, MESSAGES, MESSAGE)
    assert reply.status == 404
    assert {got.line.split()[1] for got in vendor.received} == {MESSAGES}


@bounded()
async def test_a_vendor_that_does_not_stream_is_streamed_all_the_same(anthropic):
    async with scripted(always(http(chat("Hello")))) as vendor:
        async with serve_proxy(config_for(at(vendor, "deepseek"))) as proxy:
            client = anthropic.AsyncAnthropic(base_url=proxy.root, api_key="x", max_retries=0)
            async with client.messages.stream(**MESSAGE) as running:
                message = await running.get_final_message()
            await client.close()
            client = openai.AsyncOpenAI(base_url=proxy.base_url, api_key="x", max_retries=0)
            async with client.responses.stream(model="gpt-4.1", input="Hi") as running:
                response = await running.get_final_response()
            await client.close()
    assert (message.content[0].text, message.stop_reason) == ("Hello", "end_turn")
    assert response.output_text == "Hello"
    (first, second) = proxy.events.calls
    assert first.record.answer.usage.output_tokens == second.record.answer.usage.output_tokens == 2
