"""Nobody can answer: the vendor's own words, no multiplied 429s, and nobody else's outage."""

from time import monotonic

import pytest

from tests.support.client import CHAT, ask
from tests.support.groups import group_of
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import GOOD, always, chat, error_body, http, scripted

REFUSALS = {
    "a wrong key": (401, "invalid_api_key", []),
    "a spent quota": (429, "insufficient_quota", []),
    "a spent quota with a time": (429, "insufficient_quota", [("retry-after", "7")]),
    "an unknown model": (404, "model_not_found", []),
}


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("count", [1, 2])
@bounded()
async def test_every_client_gets_the_vendors_own_status_and_words(refusal, count):
    status, code, headers = REFUSALS[refusal]
    answer = always(http(error_body(code), status=status, headers=headers))
    async with scripted(answer) as one, scripted(answer) as other:
        async with serve_proxy(group_of(*(one, other)[:count])) as proxy:
            replies = [await ask(proxy.port, body=CHAT) for _ in range(4)]
            asked = len(one.received) + len(other.received)

    assert [reply.status for reply in replies] == [status] * 4
    assert [reply.error["code"] for reply in replies] == [code] * 4
    assert {reply.header("x-should-retry") for reply in replies} == {"false"}
    assert {reply.header("x-llmproxy-error-source") for reply in replies} == {"upstream"}
    if "quota" in refusal:
        assert asked == count, "later calls are not sent"
    else:
        assert asked == count + 3, "the last one that others could use is not set aside"


@bounded()
async def test_a_drained_endpoint_is_nothing_else_that_is_left():
    answer = always(http(error_body("invalid_api_key"), status=401))
    async with scripted(answer) as one, scripted(GOOD) as other:
        async with serve_proxy(group_of(one, other)) as proxy:
            proxy.runtime.pool.groups["gpt-4.1"].states[1].drain()
            replies = [await ask(proxy.port, body=CHAT) for _ in range(2)]
    assert [reply.status for reply in replies] == [401, 401]


@bounded()
async def test_what_another_process_found_refused_is_asked_once_for_the_vendors_words():
    answer = always(http(error_body("invalid_api_key"), status=401))
    async with scripted(answer) as one, scripted(answer) as other:
        async with serve_proxy(group_of(one, other)) as proxy:
            now = monotonic()
            for state in proxy.runtime.pool.groups["gpt-4.1"].states:
                state.cool(now + 300.0, "misconfigured")
            replies = [await ask(proxy.port, body=CHAT) for _ in range(3)]
            asked = len(one.received) + len(other.received)
    assert [reply.status for reply in replies] == [401, 401, 401]
    assert asked >= 2


@pytest.mark.clock
@pytest.mark.parametrize(
    ("stated", "asked", "hint"),
    [(None, 1, "5"), ("30", 1, "30"), ("1", 2, "1"), ("3600", 1, "3600")],
)
@bounded()
async def test_a_429_with_nobody_else_to_ask_is_not_multiplied(stated, asked, hint):
    headers = [("retry-after", stated)] if stated else []
    answer = always(http(error_body("rate_limit_exceeded"), status=429, headers=headers))
    async with scripted(answer) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            reply = await ask(proxy.port, body=CHAT)
            assert (reply.status, len(vendor.received)) == (429, asked)
            assert reply.header("retry-after") == hint
            assert reply.header("x-should-retry") != "false"


@bounded()
async def test_the_retry_after_of_one_clients_504_shuts_out_nobody():
    def answer(received, number):
        if b"long" in received.body:
            page = b"<html>504 Gateway Time-out</html>"
            return [http(page, status=504, headers=[("retry-after", "120")])]
        return [http(chat("well"))]

    long = {**CHAT, "messages": [{"role": "user", "content": "a long task"}]}
    async with scripted(answer) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            first = await ask(proxy.port, body=long)
            assert (first.status, len(vendor.received)) == (504, 1)
            for _ in range(3):
                assert (await ask(proxy.port, body=CHAT)).status == 200


@bounded()
async def test_a_reset_of_31_years_is_forgotten_by_clear():
    spent = [
        ("x-ratelimit-limit-requests", "1"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "999999999s"),
    ]
    async with scripted(always(http(chat("ok"), headers=spent))) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            assert (await ask(proxy.port, body=CHAT)).status == 200
            refused = await ask(proxy.port, body=CHAT)
            assert refused.status == 429
            (state,) = proxy.runtime.pool.groups["gpt-4.1"].states
            assert 0 < state.available_in_s(0, monotonic()) <= 300.1
            state.clear(monotonic())
            assert (await ask(proxy.port, body=CHAT)).status == 200
