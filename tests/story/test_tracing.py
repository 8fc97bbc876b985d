"""The exact span trees that a collector gets, and the trace headers that endpoints get."""

import asyncio

import pytest

from tests.support.cached import FIXED
from tests.support.client import CHAT, HELLO, STREAM, ask, connect, question, request
from tests.support.collector import collector
from tests.support.groups import endpoint
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import (
    DONE,
    DOWN,
    LAST_CHUNK,
    always,
    chat,
    chunk,
    delta,
    event,
    http,
    scripted,
    sse_head,
)

GOOD = always(http(chat("good"), headers=[("x-request-id", "req_vendor")]))
TRACE, CLIENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = [("traceparent", f"00-{TRACE}-{CLIENT}-01"), ("tracestate", "vendor=abc,other=1")]
NOT_SAMPLED = [("traceparent", f"00-{TRACE}-{CLIENT}-00"), ("tracestate", "vendor=abc")]
USAGE = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}}
STREAMED = [
    sse_head(),
    chunk(delta("one")),
    0.2,
    chunk(delta("two", finish="stop") + event(USAGE)),
    chunk(DONE),
    LAST_CHUNK,
]
TIMES = {"llmproxy.first_byte_ms", "llmproxy.overhead_ms", "llmproxy.waited_ms"}


def tracing(config, where, **more):
    config["general_settings"]["tracing"] = where.tracing(**more)
    return config


def one(vendor, **settings):
    return config_for(endpoint(vendor, "only"), **settings)


def fails_over(first, second):
    """Return a config with two endpoints; the second has a higher tier and another model name."""
    other = {**endpoint(second, "second", tier=1), "model": "gpt-4.1-east"}
    return config_for(endpoint(first, "first"), other)


def said_by(span):
    """Return a call's attributes without its times and its id."""
    left_out = TIMES | {"llmproxy.call_id", "llmproxy.overhead_ms"}
    return {key: value for key, value in span.attributes.items() if key not in left_out}


@bounded()
async def test_a_call_is_a_span_with_its_attempt_below_it():
    async with scripted(GOOD) as vendor:
        with collector() as seen:
            async with serve_proxy(tracing(one(vendor), seen)) as proxy:
                reply = await ask(proxy.port, body=HELLO)
            [call] = seen.trees()
    assert (call.name, call.kind, call.status, call.parent_id) == (
        "chat gpt-4.1",
        "SERVER",
        "UNSET",
        "",
    )
    assert said_by(call) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4.1",
        "http.request.method": "POST",
        "url.path": "/v1/chat/completions",
        "http.response.status_code": 200,
        "llmproxy.group": "gpt-4.1",
        "llmproxy.endpoint": "only",
        "llmproxy.attempts": 1,
    }
    assert set(call.attributes) >= TIMES
    assert reply.header("x-request-id") == "req_vendor"
    [attempt] = call.below
    assert (attempt.name, attempt.kind, attempt.status) == ("chat gpt-4.1", "CLIENT", "UNSET")
    assert attempt.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "generic",
        "gen_ai.request.model": "gpt-4.1",
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 2,
        "server.address": "127.0.0.1",
        "server.port": vendor.port,
        "http.response.status_code": 200,
        "llmproxy.group": "gpt-4.1",
        "llmproxy.endpoint": "only",
        "llmproxy.attempt": 1,
        "llmproxy.outcome": "answered",
        "llmproxy.upstream_request_id": "req_vendor",
    }
    assert not attempt.below
    assert vendor.received[0].header("traceparent") == f"00-{call.trace_id}-{attempt.id}-03"
    assert vendor.received[0].header("tracestate") is None
    assert {key: seen.resource[key] for key in ("service.name", "service.version")} == {
        "service.name": "llmproxy",
        "service.version": "0.1.0",
    }
    assert seen.requests[0][0] == "/v1/traces"


@bounded()
async def test_the_call_continues_the_clients_trace_and_the_endpoint_continues_the_attempts():
    async with scripted(GOOD) as vendor:
        with collector() as seen:
            async with serve_proxy(tracing(one(vendor), seen, sample_ratio=0)) as proxy:
                await ask(proxy.port, body=HELLO, headers=SAMPLED)
            [call] = seen.trees()
    assert (call.trace_id, call.parent_id) == (TRACE, CLIENT)
    assert call.state == call.below[0].state == "vendor=abc,other=1"
    assert vendor.received[0].header("traceparent") == f"00-{TRACE}-{call.below[0].id}-01"
    assert vendor.received[0].header("tracestate") == "vendor=abc,other=1"


@bounded()
async def test_a_proxy_behind_a_proxy_continues_its_trace():
    async with scripted(GOOD) as vendor:
        with collector() as seen:
            async with serve_proxy(tracing(one(vendor), seen, service_name="behind")) as behind:
                async with serve_proxy(tracing(one(behind), seen, sample_ratio=0.5)) as front:
                    for _ in range(20):
                        await ask(front.port, body=HELLO)
            calls = seen.trees()
    assert 0 < len(calls) < 20, "who is in front decides what is recorded"
    for call in calls:
        [attempt] = call.below
        [behind_it] = attempt.below
        assert behind_it.kind == "SERVER"
        assert {span.trace_id for span in (attempt, behind_it, *behind_it.below)} == {call.trace_id}
    assert len(vendor.received) == 20


@bounded()
async def test_the_span_of_a_stream_lasts_until_its_last_byte():
    async with scripted(lambda *_: STREAMED) as vendor:
        with collector() as seen:
            async with serve_proxy(tracing(one(vendor), seen)) as proxy:
                await ask(proxy.port, body=STREAM)
            [call] = seen.trees()
    [attempt] = call.below
    assert call["gen_ai.request.stream"] is True
    assert attempt["gen_ai.response.time_to_first_chunk"] < 0.15
    assert attempt["gen_ai.usage.input_tokens"] == 7
    assert attempt["gen_ai.usage.output_tokens"] == 5
    assert "gen_ai.usage.input_tokens" not in call.attributes, "tokens are to be found once"
    assert attempt.ended_at - attempt.began_at > 0.2
    assert call.began_at <= attempt.began_at < attempt.ended_at <= call.ended_at


@bounded()
async def test_a_failed_attempt_and_the_next_one_are_siblings():
    async with scripted(DOWN) as first, scripted(GOOD) as second:
        with collector() as seen:
            async with serve_proxy(tracing(fails_over(first, second), seen)) as proxy:
                reply = await ask(proxy.port, body=HELLO, headers=SAMPLED)
            [call] = seen.trees()
    assert reply.status == 200
    assert (call.status, call["llmproxy.attempts"], call["llmproxy.endpoint"]) == (
        "UNSET",
        2,
        "second",
    )
    failed, answered = call.below
    assert (failed.name, failed.status) == ("chat gpt-4.1", "ERROR")
    assert failed["http.response.status_code"] == 500
    assert failed["error.type"] == "server_error"
    assert failed["llmproxy.outcome"] == "failed"
    assert failed["llmproxy.verdict"] == "next endpoint"
    assert failed["server.port"] == first.port
    assert "gen_ai.usage.input_tokens" not in failed.attributes
    assert (answered.name, answered.status) == ("chat gpt-4.1-east", "UNSET")
    assert answered["llmproxy.attempt"] == 2
    assert answered["server.port"] == second.port
    assert "error.type" not in answered.attributes
    parents = [vendor.received[0].header("traceparent") for vendor in (first, second)]
    assert parents == [f"00-{TRACE}-{span.id}-01" for span in (failed, answered)]


@bounded()
async def test_a_fallback_is_an_event_and_its_attempts_have_the_new_group():
    async with scripted(DOWN) as main, scripted(GOOD) as other:
        config = config_for(endpoint(main, "main"), num_retries=0)
        config["model_groups"][0]["fallbacks"] = ["spare"]
        config["model_groups"].append(
            {"model_group": "spare", "models": [{**endpoint(other, "extra"), "model": "small"}]}
        )
        with collector() as seen:
            async with serve_proxy(tracing(config, seen)) as proxy:
                assert (await ask(proxy.port, body=HELLO)).status == 200
            [call] = seen.trees()
    assert call["llmproxy.group"] == "gpt-4.1"
    assert call["llmproxy.fallback"] == "spare"
    assert ("llmproxy.fallback", {"llmproxy.group": "spare"}) in call.events
    assert [(span["llmproxy.group"], span["llmproxy.endpoint"]) for span in call.below] == [
        ("gpt-4.1", "main"),
        ("spare", "extra"),
    ]
    assert [span.name for span in call.below] == ["chat gpt-4.1", "chat small"]
    assert [span["server.port"] for span in call.below] == [main.port, other.port]


@bounded()
async def test_a_call_that_the_cache_answers_has_no_attempt():
    async with scripted(GOOD) as vendor:
        with collector() as seen:
            async with serve_proxy(tracing(one(vendor, cache=True), seen)) as proxy:
                await ask(proxy.port, body=FIXED)
                await ask(proxy.port, body=FIXED)
            miss, hit = seen.trees()
    assert [span["llmproxy.cache"] for span in (miss, hit)] == ["miss", "hit"]
    assert [len(span.below) for span in (miss, hit)] == [1, 0]
    assert "llmproxy.endpoint" not in hit.attributes
    assert miss.trace_id != hit.trace_id


@bounded()
async def test_waiting_for_another_calls_answer_counts_as_waiting():
    async with scripted(always(0.3, http(chat("good")))) as vendor:
        with collector() as seen:
            async with serve_proxy(tracing(one(vendor, cache=True), seen)) as proxy:
                await asyncio.gather(*(ask(proxy.port, body=FIXED) for _ in range(2)))
            first, second = sorted(seen.trees(), key=lambda span: -len(span.below))
    assert (first["llmproxy.cache"], second["llmproxy.cache"]) == ("miss", "coalesced")
    assert (len(first.below), len(second.below)) == (1, 0)
    assert second["llmproxy.waited_ms"] > 200 > first["llmproxy.waited_ms"]


@bounded()
async def test_an_unknown_model_and_an_unknown_path_are_calls_without_attempts():
    async with scripted(GOOD) as vendor:
        with collector() as seen:
            async with serve_proxy(tracing(one(vendor), seen)) as proxy:
                await ask(proxy.port, body={**HELLO, "model": "nope"}, headers=SAMPLED)
                await ask(proxy.port, "/v1/../x", body=HELLO)
            unknown, no_path = seen.trees()
    assert (unknown.name, unknown.parent_id, unknown.status) == ("chat nope", CLIENT, "UNSET")
    assert unknown["http.response.status_code"] == 404
    assert unknown["error.type"] == "model_not_found"
    assert "llmproxy.group" not in unknown.attributes
    assert (no_path.name, no_path["http.response.status_code"]) == ("POST", 400)
    assert not (unknown.below or no_path.below)


@bounded()
async def test_a_call_without_an_answer_failed_and_names_the_skipped_endpoints():
    async with scripted(DOWN) as first, scripted(DOWN) as second:
        with collector() as seen:
            config = tracing(fails_over(first, second), seen)
            config["general_settings"]["num_retries"] = 1
            async with serve_proxy(config) as proxy:
                assert (await ask(proxy.port, body=HELLO)).status == 503
            [call] = seen.trees()
    assert (call.status, call["http.response.status_code"]) == ("ERROR", 503)
    assert call["error.type"]
    assert [span.status for span in call.below] == ["ERROR", "ERROR"]


@bounded()
async def test_a_stream_that_breaks_is_a_failed_call_and_a_failed_attempt():
    broken = [sse_head(), chunk(delta("one")), 0.05, "reset"]
    async with scripted(lambda *_: broken) as vendor:
        with collector() as seen:
            async with serve_proxy(tracing(one(vendor), seen)) as proxy:
                await ask(proxy.port, body=STREAM)
            [call] = seen.trees()
    [attempt] = call.below
    assert (call.status, attempt.status) == ("ERROR", "ERROR")
    assert call["error.type"] == attempt["error.type"] == "upstream_stream_interrupted"
    assert call["http.response.status_code"] == 200


@bounded()
async def test_a_client_that_leaves_is_not_a_failure():
    async with scripted(always("hang")) as vendor:
        with collector() as seen:
            async with serve_proxy(tracing(one(vendor), seen)) as proxy:
                connection = await connect(proxy.port)
                await connection.send(request(body=HELLO))
                while not vendor.received:
                    await asyncio.sleep(0.01)
                connection.leave()
                while not proxy.events.calls:
                    await asyncio.sleep(0.01)
            [call] = seen.trees()
    assert (call.status, call["error.type"]) == ("UNSET", "client_closed_request")
    assert "http.response.status_code" not in call.attributes
    assert [(span.status, span["llmproxy.outcome"]) for span in call.below] == [
        ("UNSET", "abandoned")
    ]


@bounded()
async def test_the_headers_of_a_trace_that_is_not_recorded_pass_unchanged():
    async with scripted(GOOD) as vendor:
        with collector() as seen:
            async with serve_proxy(tracing(one(vendor), seen)) as proxy:
                await ask(proxy.port, body=HELLO, headers=NOT_SAMPLED)
            assert not seen.spans
    assert vendor.received[0].header("traceparent") == NOT_SAMPLED[0][1]
    assert vendor.received[0].header("tracestate") == "vendor=abc"


@bounded()
async def test_a_call_outside_the_sample_is_not_recorded_by_the_endpoint_either():
    async with scripted(GOOD) as vendor:
        with collector() as seen:
            async with serve_proxy(tracing(one(vendor), seen, sample_ratio=0)) as proxy:
                await ask(proxy.port, body=HELLO)
            assert not seen.requests
    assert vendor.received[0].header("traceparent").endswith("-02")


@pytest.mark.parametrize("headers", [[], SAMPLED, NOT_SAMPLED], ids=["none", "yes", "no"])
@bounded()
async def test_without_tracing_the_clients_headers_pass_unchanged(headers):
    async with scripted(GOOD) as vendor, serve_proxy(one(vendor)) as proxy:
        await ask(proxy.port, body=HELLO, headers=headers)
    names = ("traceparent", "tracestate")
    assert [header for header in vendor.received[0].headers if header[0] in names] == headers
    assert proxy.events.calls[0].record.request.trace is None


@bounded()
async def test_tracing_changes_only_the_trace_headers():
    received = []
    for wish in ({}, {"sample_ratio": 1}):
        async with scripted(GOOD) as vendor:
            with collector() as seen:
                config = tracing(one(vendor), seen, **wish) if wish else one(vendor)
                async with serve_proxy(config) as proxy:
                    await ask(proxy.port, body=HELLO, headers=[("x-request-id", "mine"), *SAMPLED])
        of_the_trace = ("traceparent", "host")
        received.append(
            [header for header in vendor.received[0].headers if header[0] not in of_the_trace]
        )
        assert [name for name, _ in vendor.received[0].headers].count("traceparent") == 1
    assert received[0] == received[1]


@bounded()
async def test_no_span_contains_a_key_a_prompt_or_an_answer():
    async with scripted(GOOD) as vendor:
        with collector() as seen:
            config = tracing(one(vendor), seen, headers={"authorization": "Bearer sk-collector"})
            config["general_settings"]["callers"] = [{"name": "alice", "key": "sk-caller-a-secret"}]
            async with serve_proxy(config) as proxy:
                key = [("authorization", "Bearer sk-caller-a-secret")]
                await ask(
                    proxy.port,
                    "/v1/chat/completions?token=q-secret",
                    question("w-secret"),
                    headers=key,
                )
            [call] = seen.trees()
    assert call["llmproxy.caller"] == "alice"
    everything = repr(seen.spans) + repr(seen.resource)
    assert "secret" not in everything
    assert "sk-" not in everything
    assert "good" not in everything
    assert seen.requests[0][1]["authorization"] == "Bearer sk-collector"


@bounded()
async def test_many_calls_at_once_keep_their_own_attempts():
    async with scripted(GOOD) as vendor:
        with collector() as seen:
            async with serve_proxy(tracing(one(vendor), seen)) as proxy:
                await asyncio.gather(*(ask(proxy.port, body=CHAT) for _ in range(100)))
            calls = seen.trees()
    assert len(calls) == 100
    assert all(len(call.below) == 1 for call in calls)
    sent = {request.header("traceparent") for request in vendor.received}
    assert sent == {f"00-{call.trace_id}-{call.below[0].id}-03" for call in calls}
