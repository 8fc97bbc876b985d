"""What a translated call costs is what its endpoint has reported, whatever its client sees of it.

Expected values are computed by hand from the prices below, in nano-dollars.
"""

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
    at,
    named,
    stream,
)
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import DONE, always, delta, event, http, scripted

RESPONSES = "/v1/responses"
CLIENTS = {
    "chat": (CHAT, ASKED),
    "messages": (MESSAGES, MESSAGE),
    "responses": (RESPONSES, {"model": "gpt-4.1", "input": HI, "store": False}),
}
# As Anthropic's page has it for Claude Sonnet 4.5, dollars per million tokens; writing for an hour
# costs twice the input.
PRICE = {"input": 3, "output": 15, "cached_input": 0.3, "cache_write": 3.75}

# Anthropic: 100 of input, 2,000 read from the cache, 1,000 written, 400 of these for an hour, 50 of
# output, one search of a cent: 100 * 3 + 2,000 * 0.3 + 600 * 3.75 + 400 * 6 + 50 * 15 = 6,300
# millionths of a dollar, and 10,000 for the search.
WRITTEN = {"ephemeral_5m_input_tokens": 600, "ephemeral_1h_input_tokens": 400}
READ = {"cache_read_input_tokens": 2_000, "cache_creation_input_tokens": 1_000}
SEARCHED = {"server_tool_use": {"web_search_requests": 1}}
INPUT = {"input_tokens": 100, **READ, "cache_creation": WRITTEN}
MESSAGES_USAGE = {**INPUT, "output_tokens": 50, **SEARCHED, "service_tier": "standard"}
MESSAGES_NANO = 16_300_000

# Chat: 1,000 of input, 200 of these cached, 50 of output, 30 of these of reasoning:
# 800 * 3 + 200 * 0.3 + 50 * 15 = 3,210; Responses the same.
CHAT_USAGE = {
    **{"prompt_tokens": 1_000, "completion_tokens": 50, "total_tokens": 1_050},
    "prompt_tokens_details": {"cached_tokens": 200},
    "completion_tokens_details": {"reasoning_tokens": 30},
}
RESPONSES_USAGE = {
    **{"input_tokens": 1_000, "output_tokens": 50, "total_tokens": 1_050},
    "input_tokens_details": {"cached_tokens": 200},
    "output_tokens_details": {"reasoning_tokens": 30},
}
CHAT_NANO = 3_210_000
COMPLETION = {
    **{"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"},
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    ],
    "usage": CHAT_USAGE,
}
SAID = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
SAID["content"] = [{"type": "output_text", "text": "Hi", "annotations": []}]
RESPONSE = {
    **{"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "m"},
    **{"output": [SAID], "usage": RESPONSES_USAGE},
}


def messages_events(usage=MESSAGES_USAGE, **delta_usage):
    """The events of Anthropic's: the last one has no tier, and not what was cached for how long."""
    begun = {**ANTHROPICS, "content": [], "usage": {**usage, "output_tokens": 1}}
    left = {"input_tokens": 100, **READ, "output_tokens": 50, **SEARCHED, **delta_usage}
    end = named("message_delta", delta={"stop_reason": "end_turn"}, usage=left)
    first = named("message_start", message=begun)
    return [first, *ANTHROPICS_STREAM[1:6], end, named("message_stop")]


def responses_events():
    item = {"output_index": 0, "item": {**SAID, "content": [], "status": "in_progress"}}
    place = {"output_index": 0, "content_index": 0, "item_id": "msg_1"}
    return [
        named("response.created", response={**RESPONSE, "output": [], "status": "in_progress"}),
        named("response.output_item.added", **item),
        named("response.content_part.added", **place, part={"type": "output_text", "text": ""}),
        named("response.output_text.delta", **place, delta="Hi"),
        named("response.output_text.done", **place, text="Hi"),
        named("response.output_item.done", output_index=0, item=SAID),
        named("response.completed", response=RESPONSE),
    ]


def chat_events():
    usage = {**COMPLETION, "object": "chat.completion.chunk", "choices": []}
    return [delta("Hi"), delta(finish="stop"), event(usage), DONE]


VENDORS = {
    "messages": ({**ANTHROPICS, "usage": MESSAGES_USAGE}, messages_events(), MESSAGES_NANO),
    "chat": (COMPLETION, chat_events(), CHAT_NANO),
    "responses": (RESPONSE, responses_events(), CHAT_NANO),
}
PAIRS = [(client, vendor) for client in CLIENTS for vendor in VENDORS if client != vendor]


async def cost_of(script, client, speaks, *, streamed, **entry):
    """Return the cost and the usage of one call, and what its client got."""
    path, body = CLIENTS[client]
    async with scripted(script) as server:
        endpoint = at(server, "generic", speaks=[speaks], price={**PRICE, **entry})
        async with serve_proxy(config_for(endpoint, on_untranslatable="drop")) as proxy:
            reply = await ask(proxy.port, path, {**body, "stream": True} if streamed else body)
    assert reply.status == 200, reply.body
    (call,) = proxy.events.calls
    return call.record.cost, call.record.answer.usage, reply


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("client", "vendor"), PAIRS)
@bounded()
async def test_a_translated_call_costs_exactly_what_its_endpoint_reports(client, vendor, streamed):
    whole, events, nano = VENDORS[vendor]
    script = stream(*events) if streamed else always(http(whole))
    cost, usage, _ = await cost_of(script, client, vendor, streamed=streamed, per_search=0.01)
    assert (cost.nano_usd, cost.basis) == (nano, "exact")
    assert not usage.estimated


@pytest.mark.parametrize("client", ["chat", "responses"])
@bounded()
async def test_a_whole_answer_that_becomes_a_stream_costs_what_it_reports(client):
    whole, _, nano = VENDORS["messages"]
    cost, _, reply = await cost_of(
        always(http(whole)), client, "messages", streamed=True, per_search=0.01
    )
    assert b"data: " in reply.body
    assert (cost.nano_usd, cost.basis) == (nano, "exact")


@pytest.mark.parametrize("client", CLIENTS)
@bounded()
async def test_a_tier_that_anthropic_names_at_the_beginning_of_a_stream_counts(client):
    events = messages_events({**INPUT, "service_tier": "priority"}, server_tool_use=None)
    tiers = {"priority": {"input": 6, "output": 30, "cached_input": 0.6, "cache_write": 7.5}}
    cost, usage, _ = await cost_of(stream(*events), client, "messages", streamed=True, tiers=tiers)
    assert usage.service_tier == "priority"
    # 100 * 6 + 2,000 * 0.6 + 600 * 7.5 + 400 * 12 + 50 * 30
    assert (cost.nano_usd, cost.basis) == (12_600_000, "exact")


@bounded()
async def test_a_translated_stream_that_breaks_off_is_estimated():
    events = messages_events()[:4]
    cost, usage, _ = await cost_of(stream(*events), "chat", "messages", streamed=True)
    assert cost.basis == "estimated"
    assert usage.estimated
