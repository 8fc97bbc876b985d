"""The tokens of streams that report no usage are estimated from the bytes that went through."""

from statistics import median, quantiles

import pytest

from llmproxy.batteries.token_estimates.streams import StreamLine, tokens_in
from tests.support.client import STREAM, ask, begin
from tests.support.groups import group_of
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import (
    DONE,
    LAST_CHUNK,
    always,
    chunk,
    delta,
    event,
    http,
    scripted,
    sse_head,
)
from tests.support.waiting import until
from tests.token_estimates.streams import FORMS, STYLES, streams

TAIL = 32 * 1024
BATCHED = ("gemini", "messages")  # several tokens in an event


# ---- how far off it is


@pytest.mark.parametrize("reported", [True, False], ids=["others report", "none reports"])
@pytest.mark.parametrize("form", FORMS)
def test_the_estimates_of_streams_are_near_what_a_tokenizer_counts(form, reported):
    line = StreamLine(FORMS[form][2])
    errors, counted, estimated = [], 0, 0
    for number, (body, tokens) in enumerate(streams(form, *STYLES)):
        line.learn_sample(len(body), body[-TAIL:])
        guess = line.tokens(len(body))
        if reported:
            line.learn(len(body), tokens)
        if number >= 10:
            errors.append(abs(guess / tokens - 1))
            counted, estimated = counted + tokens, estimated + guess
    in_all = estimated / counted - 1
    if form in BATCHED:
        assert median(errors) < 0.25
        assert abs(in_all) < 0.2
    else:
        assert quantiles(errors, n=10)[-1] < 0.04
        assert abs(in_all) < 0.03


def test_where_each_event_is_one_token_the_events_are_counted():
    assert tokens_in(b"".join(map(delta, ["Hel", "lo", ",", " world"])), "chat") == 4


def test_calls_of_tools_and_reasoning_are_text_too():
    called = {"index": 0, "function": {"arguments": '{\\"city\\":\\"Paris\\"}'}}
    events = event({"choices": [{"delta": {"tool_calls": [called]}}]})
    assert tokens_in(events, "chat") >= 5
    thought = event({"choices": [{"delta": {"reasoning_content": "a thought of some length"}}]})
    assert tokens_in(thought, "chat") == 6


# ---- in a proxy

WORDS = [f"word{number} " for number in range(100)]
HELLO = [delta(role="assistant", content=""), *map(delta, WORDS)]
USED = event({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 100}})
PRICED = {"price": {"input": 1, "output": 10}}


def priced(vendor):
    config = group_of(vendor)
    config["model_groups"][0]["models"][0] |= PRICED
    return config


def stream(*events, end=LAST_CHUNK):
    return always(sse_head(), *map(chunk, events), end)


@bounded()
async def test_a_stream_without_usage_has_an_estimated_cost_and_passes_unchanged():
    async with scripted(stream(*HELLO, DONE)) as vendor, serve_proxy(priced(vendor)) as proxy:
        reply = await ask(proxy.port, body=STREAM)
        assert reply.body == b"".join([*HELLO, DONE])
        record = proxy.events.calls[-1].record
        assert record.answer.usage.estimated
        assert 95 <= record.answer.usage.output_tokens <= 140
        assert record.cost.basis == "estimated"
        usage = record.answer.usage
        assert record.cost.nano_usd == usage.input_tokens * 1_000 + usage.output_tokens * 10_000


@bounded()
async def test_streams_that_report_teach_those_that_do_not():
    def reply(received, number):
        events = [*HELLO, USED, DONE] if number == 1 else [*HELLO, DONE]
        return [sse_head(), *map(chunk, events), LAST_CHUNK]

    async with scripted(reply) as vendor, serve_proxy(priced(vendor)) as proxy:
        await ask(proxy.port, body=STREAM)
        await ask(proxy.port, body=STREAM)
        reported, estimated = (call.record for call in proxy.events.calls)
        assert (reported.cost.basis, estimated.cost.basis) == ("exact", "estimated")
        assert 80 <= estimated.answer.usage.output_tokens <= 120


@bounded()
async def test_a_stream_whose_client_left_costs_what_went_through():
    async with scripted(stream(*HELLO, end="hang")) as vendor, serve_proxy(priced(vendor)) as proxy:
        client = await begin(proxy.port, body=STREAM)
        await client.head()
        await client.chunk()
        client.leave()
        await until(lambda: proxy.events.calls)
        record = proxy.events.calls[-1].record
        assert (record.answer.status, record.cost.basis) == (499, "estimated")
        assert record.cost.nano_usd > 0


@bounded()
async def test_a_stream_that_broke_costs_what_went_through():
    async with (
        scripted(stream(*HELLO, end="close")) as vendor,
        serve_proxy(priced(vendor)) as proxy,
    ):
        await ask(proxy.port, body=STREAM)
        record = proxy.events.calls[-1].record
        assert record.answer.error == "upstream_stream_interrupted"
        assert record.cost.basis == "estimated"
        assert record.answer.usage.output_tokens >= 95


@bounded()
async def test_usage_reported_before_the_end_of_a_broken_stream_is_an_estimate():
    used = {"prompt_tokens": 9, "completion_tokens": 3}
    counted = event({"choices": [{"delta": {"content": "so far"}}], "usage": used})
    async with scripted(stream(*HELLO, counted, end="close")) as vendor:
        async with serve_proxy(priced(vendor)) as proxy:
            await ask(proxy.port, body=STREAM)
            record = proxy.events.calls[-1].record
            assert not record.answer.usage.estimated
            assert record.cost.basis == "estimated"


@bounded()
async def test_the_input_of_a_broken_stream_of_messages_is_as_it_was_reported():
    counts = {"input_tokens": 9, "cache_read_input_tokens": 400, "output_tokens": 1}
    started = {"type": "message_start", "message": {"id": "msg_1", "usage": counts}}
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta"}}
    events = [event({**text, "delta": {"type": "text_delta", "text": word}}) for word in WORDS]
    asked = {**STREAM, "max_tokens": 1000}
    async with scripted(stream(event(started), *events, end="close")) as vendor:
        async with serve_proxy(priced(vendor)) as proxy:
            await ask(proxy.port, "/v1/messages", body=asked)
            usage = proxy.events.calls[-1].record.answer.usage
            assert (usage.input_tokens, usage.cached_tokens, usage.estimated) == (409, 400, True)
            assert 95 <= usage.output_tokens <= 200


@bounded()
async def test_no_more_is_estimated_than_the_call_allows():
    async with scripted(stream(*HELLO, DONE)) as vendor, serve_proxy(priced(vendor)) as proxy:
        await ask(proxy.port, body={**STREAM, "max_tokens": 7})
        assert proxy.events.calls[-1].record.answer.usage.output_tokens == 7


@bounded()
async def test_an_answer_that_is_no_stream_and_reports_nothing_stays_unknown():
    async with scripted(always(http({"choices": [{"message": {"content": "x"}}]}))) as vendor:
        async with serve_proxy(priced(vendor)) as proxy:
            await ask(proxy.port, body={**STREAM, "stream": False})
            record = proxy.events.calls[-1].record
            assert (record.answer.usage, record.cost.basis) == (None, "unknown")
