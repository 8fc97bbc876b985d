"""What is served from the cache, and what is not."""

import asyncio
import json

import pytest
from openai import AsyncOpenAI

from tests.support.cached import FIXED, ask_with, numbered_answers, text_of, with_cache
from tests.support.callers import CALLERS, KEYS, as_caller
from tests.support.client import HELLO, ask, question
from tests.support.groups import endpoint
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import always, chat, error_body, http, scripted


@bounded()
async def test_the_second_call_is_served_from_the_cache():
    async with scripted(numbered_answers()) as vendor, serve_proxy(with_cache(vendor)) as proxy:
        first = await ask(proxy.port, body=FIXED)
        again = await ask(proxy.port, body={**FIXED, "user": "another"})
        assert first.header("x-llmproxy-cache") == "miss"
        assert again.header("x-llmproxy-cache") == "hit"
        assert again.body == first.body
        assert again.header("content-type") == first.header("content-type")
        assert again.header("age") == "0"
        assert again.header("x-llmproxy-endpoint") is None
        assert again.header("x-request-id") not in (None, first.header("x-request-id"))
        assert len(vendor.received) == 1
        assert [event.record.cache for event in proxy.events.calls] == ["miss", "hit"]
        assert [event.record.attempts for event in proxy.events.calls] == [1, 0]


@bounded()
async def test_without_cache_every_call_asks_and_no_header_is_added():
    async with scripted(numbered_answers()) as vendor:
        async with serve_proxy(config_for(endpoint(vendor, "only"))) as proxy:
            replies = [await ask(proxy.port, body=FIXED) for _ in range(2)]
            assert [text_of(reply) for reply in replies] == ["answer 1", "answer 2"]
            assert {reply.header("x-llmproxy-cache") for reply in replies} == {None}


@pytest.mark.parametrize(
    "other",
    [{"temperature": 0.5}, {"messages": []}, {"max_tokens": 5}, {"unknown_yet": True}],
    ids=lambda other: next(iter(other)),
)
@bounded()
async def test_a_call_that_differs_is_a_miss(other):
    async with scripted(numbered_answers()) as vendor:
        async with serve_proxy(with_cache(vendor, mode="all")) as proxy:
            await ask(proxy.port, body=FIXED)
            assert text_of(await ask(proxy.port, body={**FIXED, **other})) == "answer 2"


@bounded()
async def test_random_answers_are_cached_only_with_mode_all():
    for mode, expected in (("deterministic", "answer 2"), ("all", "answer 1")):
        async with scripted(numbered_answers()) as vendor:
            async with serve_proxy(with_cache(vendor, mode=mode)) as proxy:
                await ask(proxy.port, body=HELLO)
                assert text_of(await ask(proxy.port, body=HELLO)) == expected


@bounded()
async def test_a_json_answer_is_served_as_a_stream():
    async with scripted(numbered_answers()) as vendor, serve_proxy(with_cache(vendor)) as proxy:
        await ask(proxy.port, body=FIXED)
        for _ in range(2):
            reply = await ask(proxy.port, body={**FIXED, "stream": True})
            assert reply.header("x-llmproxy-cache") == "hit"
            assert reply.header("content-type") == "text/event-stream"
            assert b"answer 1" in reply.body
            assert b"usage" not in reply.body
            assert reply.body.endswith(b"data: [DONE]\n\n")
        assert len(vendor.received) == 1


@bounded()
async def test_the_directives_of_a_call():
    async with scripted(numbered_answers()) as vendor, serve_proxy(with_cache(vendor)) as proxy:
        assert (await ask_with(proxy, "only")).status == 504
        assert text_of(await ask(proxy.port, body=FIXED)) == "answer 1"
        assert text_of(await ask_with(proxy, "only")) == "answer 1"
        assert text_of(await ask_with(proxy, "bypass")) == "answer 2"
        assert text_of(await ask_with(proxy, "refresh")) == "answer 3"
        assert text_of(await ask(proxy.port, body=FIXED)) == "answer 3"
        assert text_of(await ask_with(proxy, "force", HELLO)) == "answer 4"
        assert text_of(await ask_with(proxy, "FORCE", HELLO)) == "answer 4"
        for received in vendor.received:
            assert b"x-llmproxy" not in dict(received.headers)


@pytest.mark.parametrize("body", [HELLO, {**FIXED, "stream": True}], ids=["by chance", "stream"])
@bounded()
async def test_only_asks_no_endpoint_for_uncacheable_calls_either(body):
    async with scripted(numbered_answers()) as vendor, serve_proxy(with_cache(vendor)) as proxy:
        assert (await ask_with(proxy, "only", body)).status == 504
        assert not vendor.received


@bounded()
async def test_only_finds_what_force_has_cached():
    async with scripted(numbered_answers()) as vendor, serve_proxy(with_cache(vendor)) as proxy:
        await ask_with(proxy, "force", HELLO)
        assert text_of(await ask_with(proxy, "only", HELLO)) == "answer 1"


@bounded()
async def test_errors_of_only_and_of_an_unknown_directive():
    async with scripted(numbered_answers()) as vendor, serve_proxy(with_cache(vendor)) as proxy:
        refused = await ask_with(proxy, "only")
        assert refused.json["error"]["code"] == "not_cached"
        assert refused.header("x-should-retry") == "false"
        unknown = await ask_with(proxy, "sometimes")
        assert unknown.status == 400
        assert "'bypass', 'refresh', 'force' or 'only'" in unknown.json["error"]["message"]
        assert "'sometimes'" in unknown.json["error"]["message"]
        assert not vendor.received


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        ("no-cache", ["answer 2", "answer 2"]),
        ("no-store", ["answer 1", "answer 1"]),
        ("no-cache, no-store", ["answer 2", "answer 1"]),
        ("max-age=0", ["answer 2", "answer 2"]),
        ("max-age=60", ["answer 1", "answer 1"]),
        ("max-age=soon", ["answer 1", "answer 1"]),
    ],
)
@bounded()
async def test_cache_control_is_respected(control, expected):
    async with scripted(numbered_answers()) as vendor, serve_proxy(with_cache(vendor)) as proxy:
        await ask(proxy.port, body=FIXED)
        await asyncio.sleep(0.01)
        headers = [("cache-control", control)]
        replies = [
            await ask(proxy.port, body=FIXED, headers=headers),
            await ask(proxy.port, body=FIXED),
        ]
        assert [text_of(reply) for reply in replies] == expected


@bounded()
async def test_no_store_keeps_nothing():
    async with scripted(numbered_answers()) as vendor, serve_proxy(with_cache(vendor)) as proxy:
        await ask(proxy.port, body=FIXED, headers=[("cache-control", "no-store")])
        assert text_of(await ask(proxy.port, body=FIXED)) == "answer 2"


@bounded()
async def test_an_answer_expires_after_its_ttl():
    async with (
        scripted(numbered_answers()) as vendor,
        serve_proxy(with_cache(vendor, ttl=0.05)) as proxy,
    ):
        await ask(proxy.port, body=FIXED)
        await asyncio.sleep(0.06)
        assert text_of(await ask(proxy.port, body=FIXED)) == "answer 2"


@pytest.mark.parametrize(
    "answer",
    [
        http(error_body("context_length_exceeded"), status=400),
        http({"error": {"message": "no", "type": "t", "param": None, "code": "c"}}),
        http(chat(choices=[])),
        http(b"not json", headers=[("content-type", "text/plain")]),
        http({**chat(), "choices": [{"index": 0, "finish_reason": "content_filter"}]}),
    ],
    ids=["an error", "an error with 200", "no choices", "no JSON", "filtered"],
)
@bounded()
async def test_incomplete_answers_are_not_cached(answer):
    async with scripted(always(answer)) as vendor:
        config = with_cache(vendor)
        config["general_settings"] |= {"num_retries": 0}
        async with serve_proxy(config) as proxy:
            first, again = [await ask(proxy.port, body=FIXED) for _ in range(2)]
            assert (again.status, again.body) == (first.status, first.body)
            assert again.header("x-llmproxy-cache") != "hit"
            assert len(vendor.received) == 2


@bounded()
async def test_answers_of_a_fallback_group_are_not_cached():
    down = always(http(error_body("server_error"), status=500))
    async with scripted(down) as main, scripted(numbered_answers()) as other:
        config = config_for(endpoint(main, "main"), cache=True, num_retries=0)
        config["model_groups"][0]["fallbacks"] = ["other"]
        config["model_groups"].append(
            {"model_group": "other", "models": [endpoint(other, "other")]}
        )
        async with serve_proxy(config) as proxy:
            replies = [await ask(proxy.port, body=FIXED) for _ in range(2)]
            assert [text_of(reply) for reply in replies] == ["answer 1", "answer 2"]


@pytest.mark.parametrize(
    ("scope", "expected"), [(None, "answer 2"), ("per_caller", "answer 2"), ("shared", "answer 1")]
)
@bounded()
async def test_callers_share_answers_only_with_scope_shared(scope, expected):
    params = {} if scope is None else {"scope": scope}
    async with scripted(numbered_answers()) as vendor:
        async with serve_proxy(with_cache(vendor, callers=CALLERS, **params)) as proxy:
            await ask(proxy.port, body=FIXED, headers=as_caller("alice"))
            other = await ask(proxy.port, body=FIXED, headers=as_caller("bob"))
            assert text_of(other) == expected
            again = await ask(proxy.port, body=FIXED, headers=as_caller("alice"))
            assert text_of(again) == "answer 1"


@bounded()
async def test_a_hit_is_not_taken_off_the_callers_limits():
    caller = {"name": "alice", "key": KEYS["alice"], "limits": {"rpm": 2}}
    async with scripted(numbered_answers()) as vendor:
        async with serve_proxy(with_cache(vendor, callers=[caller])) as proxy:
            replies = [
                await ask(proxy.port, body=FIXED, headers=as_caller("alice")) for _ in range(5)
            ]
            assert [reply.status for reply in replies] == [200] * 5
            assert replies[-1].header("x-ratelimit-limit-requests") == "2"


@bounded()
async def test_calls_with_the_clients_own_key_are_not_cached():
    async with scripted(numbered_answers()) as vendor:
        async with serve_proxy(with_cache(vendor, api_key=None)) as proxy:
            headers = [("authorization", "Bearer sk-mine")]
            replies = [await ask(proxy.port, body=FIXED, headers=headers) for _ in range(2)]
            assert [text_of(reply) for reply in replies] == ["answer 1", "answer 2"]
            assert replies[1].header("x-llmproxy-cache") == "bypass"


@bounded()
async def test_no_caller_gets_the_answer_of_another():
    def whose(received, _):
        return (http(chat(json.loads(received.body)["messages"][0]["content"])),)

    async with scripted(whose) as vendor:
        async with serve_proxy(with_cache(vendor, callers=CALLERS)) as proxy:
            for number in range(200):
                name = ("alice", "bob")[number % 2]
                # `user`, which the key ignores, names the caller.
                body = {**question(f"{number // 4 % 5}", temperature=0), "user": name}
                reply = await ask(proxy.port, body=body, headers=as_caller(name))
                assert text_of(reply) == f"{number // 4 % 5}"
            users = [json.loads(received.body)["user"] for received in vendor.received]
            assert sorted(users) == ["alice"] * 5 + ["bob"] * 5


@bounded()
async def test_an_openai_client_gets_equal_objects_from_a_miss_and_a_hit():
    tools = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}]
    message = {"role": "assistant", "content": None, "tool_calls": tools, "refusal": None}
    choices = [
        {"index": 0, "message": message, "finish_reason": "tool_calls"},
        {"index": 1, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"},
    ]
    async with scripted(always(http(chat(choices=choices)))) as vendor:
        async with serve_proxy(with_cache(vendor)) as proxy:
            client = AsyncOpenAI(base_url=proxy.base_url, api_key="any", max_retries=0)
            async with client:
                first, again = [
                    await client.chat.completions.create(n=2, seed=1, **HELLO) for _ in range(2)
                ]
            assert again == first
            assert again.choices[0].message.tool_calls[0].function.arguments == '{"a": 1}'
            assert len(vendor.received) == 1
