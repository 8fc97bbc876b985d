"""An answer that has become old is still better than none, where the operator says so."""

import asyncio

import pytest

from tests.story.limited import HELLO, until
from tests.story.test_cache import FIXED, cached, ordered, text_of
from tests.support.client import ask
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import chat, error_body, http, scripted

TTL_S = 0.05
OLD_S = 0.06


def well_once(failure):
    """A vendor that answers the first call, and then fails like this."""

    def answer(received, number):
        return [http(chat("answer 1"))] if number == 1 else [failure]

    return answer


def impatient(vendor, **params):
    config = cached(vendor, ttl=TTL_S, **params)
    config["general_settings"] |= {"num_retries": 0, "cooldown_time": 0.05}
    return config


SERVER_ERROR = http(error_body("server_error", kind="server_error"), status=500)
THROTTLED = http(error_body("rate_limit_exceeded"), status=429, headers=[("retry-after", "60")])


@pytest.mark.parametrize(
    "failure", [SERVER_ERROR, THROTTLED, "reset"], ids=["500", "429", "no answer"]
)
@bounded()
async def test_when_nobody_can_answer_an_old_answer_does(failure):
    async with scripted(well_once(failure)) as vendor:
        async with serve_proxy(impatient(vendor, stale_if_error_s=5)) as proxy:
            await ask(proxy.port, body=FIXED)
            await asyncio.sleep(OLD_S)
            for _ in range(3):
                reply = await ask(proxy.port, body=FIXED)
                assert (reply.status, text_of(reply)) == (200, "answer 1")
                assert reply.header("x-llmproxy-cache") == "stale"
                assert reply.header("age") == "0"
            assert proxy.heard.calls[-1].record.cache == "stale"
            assert proxy.runtime.cache.counters.stale == 3


@bounded()
async def test_a_stream_is_given_from_an_old_answer_too():
    async with scripted(well_once(SERVER_ERROR)) as vendor:
        async with serve_proxy(impatient(vendor, stale_if_error_s=5)) as proxy:
            await ask(proxy.port, body=FIXED)
            await asyncio.sleep(OLD_S)
            reply = await ask(proxy.port, body={**FIXED, "stream": True})
            assert reply.header("x-llmproxy-cache") == "stale"
            assert b"answer 1" in reply.body
            assert reply.body.endswith(b"data: [DONE]\n\n")


@bounded()
async def test_without_a_word_of_the_operator_s_an_old_answer_is_none():
    async with scripted(well_once(SERVER_ERROR)) as vendor:
        async with serve_proxy(impatient(vendor)) as proxy:
            await ask(proxy.port, body=FIXED)
            await asyncio.sleep(OLD_S)
            assert (await ask(proxy.port, body=FIXED)).status == 500


@bounded()
async def test_an_old_answer_becomes_too_old():
    async with scripted(well_once(SERVER_ERROR)) as vendor:
        async with serve_proxy(impatient(vendor, stale_if_error_s=0.1)) as proxy:
            await ask(proxy.port, body=FIXED)
            await asyncio.sleep(TTL_S + 0.12)
            assert (await ask(proxy.port, body=FIXED)).status == 500


@bounded()
async def test_the_client_s_own_mistake_is_told_and_not_covered_up():
    mistake = http(error_body("context_length_exceeded"), status=400)
    async with scripted(well_once(mistake)) as vendor:
        async with serve_proxy(impatient(vendor, stale_if_error_s=5)) as proxy:
            await ask(proxy.port, body=FIXED)
            await asyncio.sleep(OLD_S)
            assert (await ask(proxy.port, body=FIXED)).status == 400


@bounded()
async def test_who_wants_a_fresh_answer_is_given_the_error():
    async with scripted(well_once(SERVER_ERROR)) as vendor:
        async with serve_proxy(impatient(vendor, stale_if_error_s=5)) as proxy:
            await ask(proxy.port, body=FIXED)
            assert (await ordered(proxy, "refresh")).status == 500


def numbered_slowly(received, number):
    return [0.1 if number > 1 else 0.0, http(chat(f"answer {number}"))]


@pytest.mark.clock
@bounded()
async def test_an_old_answer_is_given_at_once_while_a_new_one_is_asked_for():
    async with scripted(numbered_slowly) as vendor:
        config = impatient(vendor, stale_while_revalidate_s=5)
        config["general_settings"]["cache_params"]["ttl"] = 0.3
        async with serve_proxy(config) as proxy:
            await ask(proxy.port, body=FIXED)
            await asyncio.sleep(0.31)
            replies = await asyncio.gather(*(ask(proxy.port, body=FIXED) for _ in range(5)))
            assert {text_of(reply) for reply in replies} == {"answer 1"}
            assert {reply.header("x-llmproxy-cache") for reply in replies} == {"stale"}
            await until(lambda: not proxy.runtime.cache.coalescer.flights)
            assert len(vendor.received) == 2
            fresh = await ask(proxy.port, body=FIXED)
            assert (text_of(fresh), fresh.header("x-llmproxy-cache")) == ("answer 2", "hit")


@bounded()
async def test_if_no_new_answer_can_be_had_the_old_one_stays():
    async with scripted(well_once(SERVER_ERROR)) as vendor:
        async with serve_proxy(impatient(vendor, stale_while_revalidate_s=5)) as proxy:
            await ask(proxy.port, body=FIXED)
            await asyncio.sleep(OLD_S)
            for asked in (2, 3):
                assert text_of(await ask(proxy.port, body=FIXED)) == "answer 1"
                await until(lambda: len(vendor.received) == asked)  # noqa: B023
                await until(lambda: not proxy.runtime.cache.coalescer.flights)
                await asyncio.sleep(0.1)


@bounded()
async def test_a_client_s_max_age_holds_for_old_answers_too():
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
        config = cached(vendor)
        first = config["model_groups"][0]
        config["model_groups"] += [
            {**first, "model_group": "everything", "cache": "all"},
            {**first, "model_group": "nothing", "cache": "off"},
        ]
        async with serve_proxy(config) as proxy:
            told = {}
            for group in ("gpt-4.1", "everything", "nothing"):
                for name, body in (("fixed", FIXED), ("by chance", HELLO)):
                    replies = [await ask(proxy.port, body={**body, "model": group})]
                    replies += [await ask(proxy.port, body={**body, "model": group})]
                    told[group, name] = [each.header("x-llmproxy-cache") for each in replies]
            assert told == {
                ("gpt-4.1", "fixed"): ["miss", "hit"],
                ("gpt-4.1", "by chance"): ["bypass", "bypass"],
                ("everything", "fixed"): ["miss", "hit"],
                ("everything", "by chance"): ["miss", "hit"],
                ("nothing", "fixed"): [None, None],
                ("nothing", "by chance"): [None, None],
            }
