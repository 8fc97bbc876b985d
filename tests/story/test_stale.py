"""Stale answers, where the config allows them."""

import asyncio

import pytest

from tests.support.cached import FIXED, ask_with, text_of, with_cache
from tests.support.client import HELLO, ask
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.under_way import idle
from tests.support.vendor import chat, error_body, http, scripted
from tests.support.waiting import until

TTL_S = 0.05
OLD_S = 0.06


def works_once(failure):
    """Return a vendor that answers the first call and fails every other one."""

    def answer(received, number):
        return [http(chat("answer 1"))] if number == 1 else [failure]

    return answer


def impatient(vendor, **params):
    config = with_cache(vendor, ttl=TTL_S, **params)
    config["general_settings"] |= {"num_retries": 0, "cooldown_time": 0.05}
    return config


SERVER_ERROR = http(error_body("server_error", kind="server_error"), status=500)
THROTTLED = http(error_body("rate_limit_exceeded"), status=429, headers=[("retry-after", "60")])


@pytest.mark.parametrize(
    "failure", [SERVER_ERROR, THROTTLED, "reset"], ids=["500", "429", "no answer"]
)
@bounded()
async def test_a_stale_answer_is_served_if_no_endpoint_can_answer(failure):
    async with scripted(works_once(failure)) as vendor:
        async with serve_proxy(impatient(vendor, stale_if_error_s=5)) as proxy:
            await ask(proxy.port, body=FIXED)
            await asyncio.sleep(OLD_S)
            for _ in range(3):
                reply = await ask(proxy.port, body=FIXED)
                assert (reply.status, text_of(reply)) == (200, "answer 1")
                assert reply.header("x-llmproxy-cache") == "stale"
                assert reply.header("age") == "0"
            assert proxy.events.calls[-1].record.cache == "stale"
            assert proxy.runtime.cache.counters.stale == 3


@bounded()
async def test_a_stale_answer_is_served_as_a_stream_too():
    async with scripted(works_once(SERVER_ERROR)) as vendor:
        async with serve_proxy(impatient(vendor, stale_if_error_s=5)) as proxy:
            await ask(proxy.port, body=FIXED)
            await asyncio.sleep(OLD_S)
            reply = await ask(proxy.port, body={**FIXED, "stream": True})
            assert reply.header("x-llmproxy-cache") == "stale"
            assert b"answer 1" in reply.body
            assert reply.body.endswith(b"data: [DONE]\n\n")


@bounded()
async def test_no_stale_answer_is_served_by_default():
    async with scripted(works_once(SERVER_ERROR)) as vendor:
        async with serve_proxy(impatient(vendor)) as proxy:
            await ask(proxy.port, body=FIXED)
            await asyncio.sleep(OLD_S)
            assert (await ask(proxy.port, body=FIXED)).status == 500


@bounded()
async def test_a_stale_answer_is_served_for_a_limited_time():
    async with scripted(works_once(SERVER_ERROR)) as vendor:
        async with serve_proxy(impatient(vendor, stale_if_error_s=0.1)) as proxy:
            await ask(proxy.port, body=FIXED)
            await asyncio.sleep(TTL_S + 0.12)
            assert (await ask(proxy.port, body=FIXED)).status == 500


@bounded()
async def test_client_errors_are_not_hidden_by_a_stale_answer():
    mistake = http(error_body("context_length_exceeded"), status=400)
    async with scripted(works_once(mistake)) as vendor:
        async with serve_proxy(impatient(vendor, stale_if_error_s=5)) as proxy:
            await ask(proxy.port, body=FIXED)
            await asyncio.sleep(OLD_S)
            assert (await ask(proxy.port, body=FIXED)).status == 400


@bounded()
async def test_refresh_gets_the_error():
    async with scripted(works_once(SERVER_ERROR)) as vendor:
        async with serve_proxy(impatient(vendor, stale_if_error_s=5)) as proxy:
            await ask(proxy.port, body=FIXED)
            assert (await ask_with(proxy, "refresh")).status == 500


def numbered_slowly(received, number):
    return [0.1 if number > 1 else 0.0, http(chat(f"answer {number}"))]


@pytest.mark.clock
@bounded()
async def test_a_stale_answer_is_served_at_once_while_it_is_renewed():
    async with scripted(numbered_slowly) as vendor:
        config = impatient(vendor, stale_while_revalidate_s=5)
        config["general_settings"]["cache_params"]["ttl"] = 0.3
        async with serve_proxy(config) as proxy:
            await ask(proxy.port, body=FIXED)
            await asyncio.sleep(0.31)
            replies = await asyncio.gather(*(ask(proxy.port, body=FIXED) for _ in range(5)))
            assert {text_of(reply) for reply in replies} == {"answer 1"}
            assert {reply.header("x-llmproxy-cache") for reply in replies} == {"stale"}
            await idle(proxy)
            assert len(vendor.received) == 2
            fresh = await ask(proxy.port, body=FIXED)
            assert (text_of(fresh), fresh.header("x-llmproxy-cache")) == ("answer 2", "hit")


@bounded()
async def test_a_stale_answer_stays_if_its_renewal_fails():
    async with scripted(works_once(SERVER_ERROR)) as vendor:
        async with serve_proxy(impatient(vendor, stale_while_revalidate_s=5)) as proxy:
            await ask(proxy.port, body=FIXED)
            await asyncio.sleep(OLD_S)
            for count in (2, 3):
                assert text_of(await ask(proxy.port, body=FIXED)) == "answer 1"
                await until(lambda: len(vendor.received) == count)  # noqa: B023
                await idle(proxy)
                await asyncio.sleep(0.1)


@bounded()
async def test_max_age_applies_to_stale_answers_too():
    async with scripted(numbered_slowly) as vendor:
        async with serve_proxy(impatient(vendor, stale_while_revalidate_s=5)) as proxy:
            await ask(proxy.port, body=FIXED)
            await asyncio.sleep(OLD_S)
            assert text_of(await ask(proxy.port, body=FIXED)) == "answer 1"
            headers = [("cache-control", "max-age=0")]
            assert text_of(await ask(proxy.port, body=FIXED, headers=headers)) == "answer 2"


@bounded()
async def test_a_group_has_a_mode_of_its_own():
    async with scripted(numbered_slowly) as vendor:
        config = with_cache(vendor)
        first = config["model_groups"][0]
        config["model_groups"] += [
            {**first, "model_group": "everything", "cache": "all"},
            {**first, "model_group": "nothing", "cache": "off"},
        ]
        async with serve_proxy(config) as proxy:
            results = {}
            for group in ("gpt-4.1", "everything", "nothing"):
                for name, body in (("fixed", FIXED), ("by chance", HELLO)):
                    replies = [await ask(proxy.port, body={**body, "model": group})]
                    replies += [await ask(proxy.port, body={**body, "model": group})]
                    results[group, name] = [reply.header("x-llmproxy-cache") for reply in replies]
            assert results == {
                ("gpt-4.1", "fixed"): ["miss", "hit"],
                ("gpt-4.1", "by chance"): ["bypass", "bypass"],
                ("everything", "fixed"): ["miss", "hit"],
                ("everything", "by chance"): ["miss", "hit"],
                ("nothing", "fixed"): [None, None],
                ("nothing", "by chance"): [None, None],
            }
