"""What cannot be translated, and failures of endpoints that are asked in another dialect."""

import json

import pytest

from tests.support.client import ask
from tests.support.dialects import (
    ANTHROPICS,
    ASKED,
    CHAT,
    HI,
    MESSAGE,
    MESSAGES,
    at,
    stream,
)
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import (
    always,
    chat,
    delta,
    error_body,
    event,
    http,
    scripted,
)

# ---- what cannot be said


@bounded()
async def test_what_cannot_be_said_is_refused_before_anything_is_sent():
    async with scripted(always(http(ANTHROPICS))) as vendor:
        config = config_for(at(vendor, "anthropic", name="claude"))
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, CHAT, {**ASKED, "n": 2, "seed": 1})
            again = await ask(proxy.port, CHAT, ASKED)
    assert reply.status == 400
    assert reply.json["error"]["param"] == "n"
    assert reply.json["error"]["code"] == "untranslatable"
    assert "`n`, `seed`" in reply.json["error"]["message"]
    assert reply.header("x-llmproxy-error-source") == "proxy"
    assert len(vendor.received) == 1
    assert again.status == 200


@bounded()
async def test_a_refused_message_is_told_in_anthropics_shape():
    async with scripted(always(http(chat()))) as vendor:
        async with serve_proxy(config_for(at(vendor, "openai"))) as proxy:
            reply = await ask(proxy.port, MESSAGES, {**MESSAGE, "top_k": 3})
    assert reply.status == 400
    assert reply.json["error"]["type"] == "invalid_request_error"
    assert "`top_k`" in reply.json["error"]["message"]


@bounded()
async def test_another_endpoint_is_asked_that_can_be_told():
    async with scripted(always(http(ANTHROPICS))) as first, scripted(always(http(chat()))) as last:
        refusing = [at(first, "anthropic", name=f"claude-{number}") for number in range(5)]
        config = config_for(*refusing, at(last, "openai", name="gpt", tier=1))
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, CHAT, {**ASKED, "n": 2})
    assert reply.header("x-llmproxy-endpoint") == "gpt"
    assert reply.json == chat()
    assert first.received == []
    assert not any(event.change == "open" for event in proxy.events.changes)


@bounded()
async def test_a_member_may_be_dropped_and_is_named():
    async with scripted(always(http(ANTHROPICS))) as vendor:
        config = config_for(at(vendor, "anthropic"), on_untranslatable="drop")
        async with serve_proxy(config) as proxy:
            body = {
                **ASKED,
                "n": 2,
                "tools": [{"type": "function", "function": {"name": "f", "x": 1}}],
            }
            reply = await ask(proxy.port, CHAT, body, headers=[("x-llmproxy-explain", "1")])
    assert reply.status == 200
    assert reply.header("x-llmproxy-dropped") == "tools[0].function.x, n"
    explained = reply.header("x-llmproxy-explain")
    assert "translated to messages, without tools[0].function.x, n" in explained


@bounded()
async def test_a_group_may_drop_what_others_refuse():
    async with scripted(always(http(ANTHROPICS))) as vendor:
        config = config_for(at(vendor, "anthropic"))
        config["model_groups"][0]["on_untranslatable"] = "drop"
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, CHAT, {**ASKED, "n": 2})
    assert reply.header("x-llmproxy-dropped") == "n"


@bounded()
async def test_a_hint_is_left_out_and_named_and_no_reason_to_refuse():
    marked = [{"type": "text", "text": "Long", "cache_control": {"type": "ephemeral"}}]
    async with scripted(always(http(chat()))) as vendor:
        async with serve_proxy(config_for(at(vendor, "openai"))) as proxy:
            reply = await ask(proxy.port, MESSAGES, {**MESSAGE, "system": marked})
    assert reply.header("x-llmproxy-dropped") == "cache_control"


# ---- errors


@pytest.mark.parametrize("streamed", [False, True])
@bounded()
async def test_an_endpoints_refusal_is_told_in_the_clients_shape(streamed):
    refusal = http(error_body("context_length_exceeded", message="too long"), status=400)
    async with scripted(always(refusal)) as vendor:
        async with serve_proxy(config_for(at(vendor, "openai"))) as proxy:
            reply = await ask(proxy.port, MESSAGES, {**MESSAGE, "stream": streamed})
    assert reply.status == 400
    assert reply.json["type"] == "error"
    assert reply.json["error"] == {"type": "invalid_request_error", "message": "too long"}
    assert reply.header("x-llmproxy-error-source") == "upstream"


@bounded()
async def test_an_early_error_in_a_stream_is_a_failure_of_its_kind():
    error = event(
        {"error": {"message": "busy", "type": "server_error", "code": "server_is_overloaded"}}
    )
    async with scripted(stream(error)) as bad, scripted(always(http(ANTHROPICS))) as good:
        config = config_for(
            at(bad, "openai", name="gpt"), at(good, "anthropic", name="claude", tier=1)
        )
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, MESSAGES, {**MESSAGE, "stream": True})
    assert reply.header("x-llmproxy-endpoint") == "claude"
    assert [failed.attempt.reason for failed in proxy.events.failures] == ["overloaded"]


@bounded()
async def test_a_late_error_in_a_stream_is_an_event_of_the_client(anthropic):
    error = event({"error": {"message": "broke", "type": "server_error"}})
    async with scripted(stream(delta("Hal"), error)) as vendor:
        async with serve_proxy(config_for(at(vendor, "openai"))) as proxy:
            client = anthropic.AsyncAnthropic(base_url=proxy.root, api_key="x", max_retries=0)
            with pytest.raises(anthropic.APIStatusError, match="broke"):
                async with client.messages.stream(**MESSAGE) as running:
                    await running.get_final_message()


@bounded()
async def test_a_stream_that_breaks_is_reported_in_the_clients_dialect():
    async with scripted(stream(delta("Hal"), end="close")) as vendor:
        async with serve_proxy(config_for(at(vendor, "openai"))) as proxy:
            reply = await ask(proxy.port, MESSAGES, {**MESSAGE, "stream": True})
    *_, last = reply.body.strip().split(b"\n\n")
    assert last.startswith(b"event: error\n")


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"choices": []}', b'{"error": {"message": "no"}}', b"{"]
)
@bounded()
async def test_what_is_no_answer_fails_over(body):
    async with scripted(always(http(body))) as bad, scripted(always(http(ANTHROPICS))) as good:
        config = config_for(
            at(bad, "openai", name="gpt"), at(good, "anthropic", name="claude", tier=1)
        )
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, MESSAGES, MESSAGE)
    assert reply.json == ANTHROPICS


# ---- parameters of the endpoint


@bounded()
async def test_an_endpoints_parameters_apply_to_what_it_is_asked():
    async with scripted(always(http(chat()))) as vendor:
        entry = at(
            vendor,
            "openai",
            rename={"max_completion_tokens": "max_tokens"},
            max_output_tokens=20,
            defaults={"seed": 7},
        )
        async with serve_proxy(config_for(entry)) as proxy:
            await ask(proxy.port, MESSAGES, MESSAGE)
    sent = json.loads(vendor.received[0].body)
    assert (sent["max_tokens"], sent["seed"]) == (20, 7)
    assert "max_completion_tokens" not in sent


@bounded()
async def test_a_vendors_copy_of_anthropics_api_is_asked_in_messages():
    async with scripted(always(http(ANTHROPICS))) as vendor:
        entry = at(vendor, "deepseek")
        entry["params"]["base_url"] = f"http://127.0.0.1:{vendor.port}/anthropic/v1"
        async with serve_proxy(config_for(entry)) as proxy:
            reply = await ask(proxy.port, CHAT, ASKED)
    assert vendor.received[0].line.startswith("POST /anthropic/v1/messages ")
    assert reply.json["choices"][0]["message"]["content"] == "Hello"


@bounded()
async def test_a_response_is_asked_over_messages_and_one_that_is_kept_is_refused():
    body = {"model": "gpt-4.1", "input": "Hi", "store": False}
    async with scripted(always(http(ANTHROPICS))) as vendor:
        async with serve_proxy(config_for(at(vendor, "anthropic"))) as proxy:
            reply = await ask(proxy.port, "/v1/responses", body)
            kept = await ask(
                proxy.port, "/v1/responses", {**body, "previous_response_id": "resp_1"}
            )
    assert reply.json["output"][0]["content"][0]["text"] == "Hello"
    assert kept.status == 400
    assert len(vendor.received) == 1


@bounded()
async def test_a_messages_client_may_be_answered_over_responses():
    answer = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "gpt-5.2",
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
            },
        ],
        "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
    }
    async with scripted(always(http(answer))) as vendor:
        config = config_for(at(vendor, "openai", speaks=["responses"]))
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, MESSAGES, MESSAGE)
            turns = [*HI, {"role": "assistant", "content": reply.json["content"]}, *HI]
            await ask(proxy.port, MESSAGES, {**MESSAGE, "messages": turns})
    assert [block["type"] for block in reply.json["content"]] == ["thinking", "text"]
    sent = json.loads(vendor.received[1].body)["input"]
    (item,) = [one for one in sent if one.get("type") == "reasoning"]
    assert (item["id"], item["encrypted_content"]) == ("rs_1", "gAAA")


# ---- what the endpoint's own API has not, and answers that are cut


@bounded()
async def test_counting_tokens_goes_to_the_endpoint_that_can_count():
    async with scripted(always(http({"input_tokens": 7}))) as vendor:
        entries = [at(vendor, "openai", name="gpt"), at(vendor, "anthropic", name="claude")]
        async with serve_proxy(config_for(*entries)) as proxy:
            replies = [await ask(proxy.port, MESSAGES + "/count_tokens", MESSAGE) for _ in range(6)]
    assert [reply.json for reply in replies] == [{"input_tokens": 7}] * 6
    assert all(got.header("x-api-key") for got in vendor.received)


@bounded()
async def test_counting_tokens_is_not_found_where_nobody_counts():
    async with scripted(always(http(chat("hello")))) as vendor:
        async with serve_proxy(config_for(at(vendor, "openai", name="gpt"))) as proxy:
            reply = await ask(proxy.port, MESSAGES + "/count_tokens", MESSAGE)
            others = await ask(proxy.port, "/v1/embeddings", {"model": "gpt-4.1", "input": "Hi"})
    assert (reply.status, reply.json["error"]["type"]) == (404, "not_found_error")
    assert "`/v1/messages/count_tokens` is not translated for 'gpt'" in reply.body.decode()
    assert others.status == 200
    assert [got.line.split()[1] for got in vendor.received] == ["/v1/embeddings"]


@bounded()
async def test_a_call_that_the_bound_has_cut_is_left_out_of_a_whole_answer():
    function = {"name": "weather", "arguments": '{"city": "Os'}
    message = {"role": "assistant", "content": "Let me see."}
    message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
    choice = {"index": 0, "message": message, "finish_reason": "length"}
    async with scripted(always(http({**chat("x"), "choices": [choice]}))) as vendor:
        async with serve_proxy(config_for(at(vendor, "openai"))) as proxy:
            reply = await ask(proxy.port, MESSAGES, MESSAGE)
    assert reply.status == 200
    assert reply.json["content"] == [{"type": "text", "text": "Let me see."}]
    assert reply.json["stop_reason"] == "max_tokens"


@bounded()
async def test_a_last_event_without_an_empty_line_is_read():
    events = [delta("hello"), delta(finish="stop").rstrip(b"\n")]
    async with scripted(stream(*events)) as vendor:
        async with serve_proxy(config_for(at(vendor, "openai"))) as proxy:
            reply = await ask(proxy.port, MESSAGES, {**MESSAGE, "stream": True})
    assert '"text":"hello"' in reply.body.decode()
    assert reply.body.decode().endswith('event: message_stop\ndata: {"type":"message_stop"}\n\n')


@bounded()
async def test_an_overload_of_anthropics_has_its_type_in_messages():
    async with scripted(always(http(error_body("busy"), status=529))) as vendor:
        async with serve_proxy(config_for(at(vendor, "openai"), num_retries=0)) as proxy:
            reply = await ask(proxy.port, MESSAGES, MESSAGE)
    assert (reply.status, reply.json["error"]["type"]) == (529, "overloaded_error")
