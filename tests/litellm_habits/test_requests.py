"""Requests of LiteLLM's clients: what is understood, and what a vendor gets of it."""

import asyncio
import json

import pytest

from tests.litellm_habits.proxies import MESSAGES, call, habitual
from tests.support.callers import KEY_A
from tests.support.client import ask
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import always, chat, http, scripted


def sent(vendor):
    """What the vendor got last, beside the model and the messages."""
    body = json.loads(vendor.received[-1].body)
    return {name: value for name, value in body.items() if name not in ("model", "messages")}


def record(proxy):
    return proxy.events.calls[-1].record.request


@bounded()
async def test_litellms_members_do_not_reach_the_vendor_and_others_do():
    # As LiteLLM 1.108.7 does it: docs/project/litellm.md.
    members = {
        **{"tags": ["x"], "fallbacks": ["gpt"], "num_retries": 2, "guardrails": ["g"]},
        **{"mock_response": "no", "drop_params": True, "no-log": True, "caching": True, "ttl": 3},
        **{"litellm_session_id": "s", "litellm_metadata": {"a": 1}, "priority": 1},
        **{"metadata": {"generation_name": "g"}, "cache": {"no-cache": True}, "timeout": 20},
    }
    kept = {"user": "u", "safety_identifier": "s", "unknown_field": 1, "seed": 7}
    async with habitual() as (vendor, proxy):
        assert (await call(proxy, **members, **kept)).status == 200
        assert sent(vendor) == kept


@bounded()
async def test_a_body_without_such_members_passes_byte_for_byte():
    body = b'{ "model":"gpt", "messages" : [], "seed": 12345678901234567890, "x": 1.0e-5 }'
    async with habitual() as (vendor, proxy):
        await ask(proxy.port, body=body, headers=[("authorization", f"Bearer {KEY_A}")])
        assert vendor.received[-1].body == body.replace(b'"gpt"', b'"gpt-4.1-mini"')
        odd = body[:-1] + b', "tags": []}'
        await ask(proxy.port, body=odd, headers=[("authorization", f"Bearer {KEY_A}")])
        assert vendor.received[-1].body.startswith(vendor.received[0].body[:-2])


@bounded()
async def test_metadata_stays_where_it_is_the_vendors():
    async with habitual() as (vendor, proxy):
        await call(proxy, store=True, metadata={"a": "b"})
        assert sent(vendor) == {"store": True, "metadata": {"a": "b"}}
        await call(proxy, path="/v1/responses", input="hi", metadata={"a": "b"}, tags=["t"])
        assert sent(vendor) == {"input": "hi", "metadata": {"a": "b"}}


@bounded()
async def test_tags_and_users_are_those_of_the_sums(tmp_path):
    async with habitual(database_url=str(tmp_path / "store.sqlite")) as (_, proxy):
        await call(
            proxy,
            headers=[("x-litellm-tags", "a,b"), ("x-litellm-end-user-id", "eve")],
            tags=["c"],
            metadata={"tags": ["d"], "user_id": "other"},
        )
        assert (record(proxy).tags, record(proxy).end_user) == (("a", "b", "c", "d"), "eve")
        await call(proxy, metadata={"user_id": "ada"})
        assert record(proxy).end_user == "ada"
        await call(proxy, user="bob", metadata={"user_id": "ada"})
        assert record(proxy).end_user == "bob"


@bounded()
@pytest.mark.parametrize("how", [{"headers": [("x-litellm-timeout", "0.2")]}, {"timeout": 0.2}])
async def test_a_timeout_holds(how):
    def slow(_received, _number):
        return [3.0, http(chat("late"))]

    async with habitual(answer=slow, num_retries=0) as (_, proxy):
        async with asyncio.timeout(2):
            assert (await call(proxy, **how)).status == 504


@bounded()
async def test_a_timeout_that_is_none_is_ignored():
    async with habitual() as (vendor, proxy):
        assert (await call(proxy, headers=[("x-litellm-timeout", "soon")])).status == 200
        assert (await call(proxy, timeout=None)).status == 200
        assert sent(vendor) == {}


@bounded()
async def test_the_key_may_come_in_litellms_header_and_no_such_header_goes_up():
    async with habitual() as (vendor, proxy):
        for value in (KEY_A, f"Bearer {KEY_A}"):
            headers = [("x-litellm-api-key", value), ("x-litellm-num-retries", "3")]
            # What stands beside it is meant for somebody else.
            reply = await call(proxy, key="sk-ant-of-the-vendor", headers=headers)
            assert reply.status == 200
        assert record(proxy).caller == "alice"
        up = vendor.received[-1]
        assert up.header("authorization") == "Bearer sk-upstream-secret"
        assert not [name for name, _ in up.headers if name.lower().startswith("x-litellm")]
        assert (await call(proxy, headers=[("x-litellm-api-key", "sk-wrong")])).status == 401


@bounded()
async def test_without_callers_the_credential_beside_litellms_is_the_vendors():
    async with scripted(always(http(chat("good")))) as vendor:
        entry = {"name": "own", "params": {"base_url": vendor.base_url}}
        config = config_for(entry, group="gpt", litellm_habits=True, database_url="off")
        async with serve_proxy(config) as proxy:
            headers = [("x-litellm-api-key", "sk-of-the-proxy")]
            assert (await call(proxy, key="sk-of-the-vendor", headers=headers)).status == 200
            assert vendor.received[-1].header("authorization") == "Bearer sk-of-the-vendor"
            assert b"sk-of-the-proxy" not in repr(vendor.received[-1].headers).encode()


@bounded()
async def test_the_clients_call_id_is_ours():
    async with habitual() as (_, proxy):
        reply = await call(proxy, headers=[("x-litellm-call-id", "abc-1")])
        assert reply.header("x-litellm-call-id") == record(proxy).id == "abc-1"


@bounded()
async def test_the_cache_does_what_the_body_asks():
    async with habitual(cache=True) as (vendor, proxy):
        for asked, calls in (({}, 1), ({}, 1), ({"no-cache": True}, 2), ({"s-maxage": 600}, 2)):
            await call(proxy, temperature=0, cache=asked)
            assert len(vendor.received) == calls, asked
        await call(proxy, temperature=0, seed=2, cache={"no-store": True})
        await call(proxy, temperature=0, seed=2)
        assert len(vendor.received) == 4


@bounded()
@pytest.mark.parametrize(
    "path",
    [
        *("/chat/completions", "/engines/gpt/chat/completions"),
        *("/openai/deployments/gpt/chat/completions", "/v1/chat/completions"),
    ],
)
async def test_all_of_litellms_addresses_of_chat_are_served(path):
    async with habitual() as (_, proxy):
        reply = await call(proxy, path=path)
        assert (reply.status, reply.header("x-litellm-model-group")) == (200, "gpt")


@bounded()
@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b'{"tags": [', b'\xff{"tags": 1}', b"null"])
async def test_a_body_that_is_no_object_is_judged_as_ever(body):
    async with habitual() as (_, proxy):
        headers = [("authorization", f"Bearer {KEY_A}"), ("content-type", "application/json")]
        with_habits = await ask(proxy.port, body=body, headers=headers)
    async with habitual(litellm_habits=None) as (_, proxy):
        without = await ask(proxy.port, body=body, headers=headers)
    assert (with_habits.status, with_habits.body) == (without.status, without.body)


@bounded()
async def test_odd_values_of_litellms_members_harm_nobody():
    odd = [None, 1, "x", [], {}, [1, None], {"tags": 1}, {"tags": ["\u0000", "ü", "日"]}, True]
    names = ("tags", "metadata", "litellm_metadata", "timeout", "cache", "user")
    async with habitual() as (vendor, proxy):
        for name in names:
            for value in odd:
                reply = await call(proxy, **{name: value})
                assert reply.status == 200, (name, value, reply.body)
        assert json.loads(vendor.received[-1].body)["messages"] == MESSAGES
