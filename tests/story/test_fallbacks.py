"""When a whole group cannot serve a call, its fallback groups do."""

import pytest

from tests.support.client import HELLO, STREAM, ask, question_in
from tests.support.groups import endpoint
from tests.support.limits import refusal, reports_limits
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import DOWN, GOOD, always, error_body, http, scripted

TOO_LONG = always(http(error_body("context_length_exceeded", message="too long"), status=400))
FILTERED = always(http(error_body("content_filter", message="filtered"), status=400))
QUICK = {"drain_delay_s": 0, "drain_timeout_s": 1, "num_retries": 1, "cooldown_time": 30}


def groups(main, *others, queue=None, **fallbacks):
    """Return a group `gpt-4.1` with its fallbacks, and a group `g0`, `g1` ... for each vendor."""
    members = [
        {"model_group": "gpt-4.1", "models": [endpoint(main, "main")], **fallbacks},
        *(
            {"model_group": f"g{number}", "models": [endpoint(vendor, f"e{number}")]}
            for number, vendor in enumerate(others)
        ),
    ]
    return {"model_groups": members, "general_settings": {**QUICK, "queue": queue or {}}}


@pytest.mark.parametrize("body", [HELLO, STREAM], ids=["unary", "stream"])
@bounded()
async def test_a_group_that_is_out_hands_its_calls_to_its_fallback(body):
    async with scripted(DOWN) as main, scripted(GOOD) as other:
        async with serve_proxy(groups(main, other, fallbacks=["g0"])) as proxy:
            reply = await ask(proxy.port, body=body)
            assert reply.status == 200
            assert reply.header("x-llmproxy-fallback") == "g0"
            assert reply.header("x-llmproxy-endpoint") == "e0"
            assert question_in(other.received[0]) in ("hello", "hi")


@bounded()
async def test_a_call_that_its_own_group_serves_has_no_fallback_header():
    async with scripted(GOOD) as main, scripted(GOOD) as other:
        async with serve_proxy(groups(main, other, fallbacks=["g0"])) as proxy:
            reply = await ask(proxy.port, body=HELLO)
            assert (reply.status, reply.header("x-llmproxy-fallback")) == (200, None)
            assert not other.received


@bounded()
async def test_a_group_that_is_full_for_too_long_hands_its_calls_to_its_fallback():
    async with scripted(reports_limits(0, "9s")) as main, scripted(GOOD) as other:
        config = groups(main, other, fallbacks=["g0"], queue={"max_wait_s": 1})
        async with serve_proxy(config) as proxy:
            assert (await ask(proxy.port, body=HELLO)).header("x-llmproxy-fallback") is None
            reply = await ask(proxy.port, body=HELLO)
            assert (reply.status, reply.header("x-llmproxy-fallback")) == (200, "g0")
            assert len(main.received) == 1


@bounded()
async def test_fallbacks_are_tried_in_their_order():
    async with scripted(DOWN) as main, scripted(DOWN) as first, scripted(GOOD) as second:
        config = groups(main, first, second, fallbacks=["g0", "g1"])
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, body=HELLO)
            assert (reply.status, reply.header("x-llmproxy-fallback")) == (200, "g1")
            assert first.received


@bounded()
async def test_when_the_fallback_is_full_too_the_error_names_both_and_the_sooner_time():
    refusing_for = {n: always(refusal(("retry-after-ms", n))) for n in ("60000", "20000")}
    async with scripted(refusing_for["60000"]) as main, scripted(refusing_for["20000"]) as other:
        config = groups(main, other, fallbacks=["g0"])
        for group, spare in zip(config["model_groups"], (main, other), strict=True):
            group["models"].append(endpoint(spare, f"{group['model_group']}-2"))
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, body=HELLO)
            assert (reply.status, reply.error["code"]) == (429, "rate_limit_exceeded")
            for name in ("'gpt-4.1'", "'g0'", "main", "e0"):
                assert name in reply.error["message"]
            assert float(reply.header("retry-after-ms")) == pytest.approx(20_000, rel=0.1)


@bounded()
async def test_a_prompt_that_is_too_long_goes_to_the_group_that_takes_longer_ones():
    async with scripted(TOO_LONG) as main, scripted(GOOD) as usual, scripted(GOOD) as roomy:
        config = groups(main, usual, roomy, fallbacks=["g0"], context_window_fallbacks=["g1"])
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, body=HELLO)
            assert (reply.status, reply.header("x-llmproxy-fallback")) == (200, "g1")
            assert not usual.received


@bounded()
async def test_a_prompt_that_is_too_long_everywhere_gets_the_vendors_own_error():
    async with scripted(TOO_LONG) as main, scripted(TOO_LONG) as roomy:
        config = groups(main, roomy, context_window_fallbacks=["g0"])
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, body=HELLO)
            assert reply.status == 400
            assert reply.json == error_body("context_length_exceeded", message="too long")
            assert len(roomy.received) == 1


@bounded()
async def test_a_prompt_that_is_too_long_does_not_go_to_the_usual_fallbacks():
    async with scripted(TOO_LONG) as main, scripted(GOOD) as other:
        async with serve_proxy(groups(main, other, fallbacks=["g0"])) as proxy:
            reply = await ask(proxy.port, body=HELLO)
            assert (reply.status, other.received) == (400, [])


@bounded()
async def test_a_client_error_is_not_taken_to_a_fallback():
    refuses_it = always(http(error_body("invalid_value"), status=400))
    async with scripted(refuses_it) as main, scripted(GOOD) as other:
        config = groups(main, other, fallbacks=["g0"], context_window_fallbacks=["g0"])
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, body=HELLO)
            assert (reply.status, reply.json) == (400, error_body("invalid_value"))
            assert not other.received


@bounded()
async def test_a_call_that_uses_ids_of_one_account_stays_there():
    async with scripted(DOWN) as main, scripted(GOOD) as other:
        async with serve_proxy(groups(main, other, fallbacks=["g0"])) as proxy:
            body = {"model": "gpt-4.1", "input": "x", "previous_response_id": "resp_1"}
            reply = await ask(proxy.port, "/v1/responses", body)
            assert (reply.status, other.received) == (500, [])


@pytest.mark.parametrize(("how", "goes_on"), [("reset", False), ("refused", True)])
@bounded()
async def test_a_call_that_may_have_taken_effect_is_not_sent_to_a_fallback(how, goes_on):
    async with scripted(always("reset")) as main, scripted(GOOD) as other:
        config = groups(main, other, fallbacks=["g0"])
        if how == "refused":  # no server listens, so nothing can have been sent
            config["model_groups"][0]["models"][0]["params"]["base_url"] = "http://127.0.0.1:9/v1"
        async with serve_proxy(config) as proxy:
            body = {"model": "gpt-4.1", "input": "x", "background": True}
            reply = await ask(proxy.port, "/v1/responses", body)
            assert (reply.status == 200) is goes_on
            assert len(other.received) == int(goes_on)


@bounded()
async def test_a_call_whose_time_is_over_is_not_taken_to_a_fallback():
    async with scripted(always("hang")) as main, scripted(GOOD) as other:
        async with serve_proxy(groups(main, other, fallbacks=["g0"])) as proxy:
            reply = await ask(proxy.port, body=HELLO, headers=[("x-llmproxy-timeout-s", "0.3")])
            assert (reply.status, reply.error["code"]) == (504, "deadline_exceeded")
            assert not other.received


@bounded()
async def test_a_filtered_prompt_goes_elsewhere_only_where_the_operator_says_so():
    async with scripted(FILTERED) as main, scripted(GOOD) as other:
        for keys in ({}, {"fallbacks": ["g0"]}, {"context_window_fallbacks": ["g0"]}):
            async with serve_proxy(groups(main, other, **keys)) as proxy:
                reply = await ask(proxy.port, body=HELLO)
                assert (reply.status, reply.error["code"]) == (400, "content_filter")
        assert not other.received
        async with serve_proxy(groups(main, other, content_filter_fallbacks=["g0"])) as proxy:
            reply = await ask(proxy.port, body=HELLO)
            assert (reply.status, reply.header("x-llmproxy-fallback")) == (200, "g0")


@bounded()
async def test_the_first_refusal_is_passed_on_if_the_fallback_filters_too():
    second = always(http(error_body("content_filter", message="the second"), status=400))
    async with scripted(FILTERED) as main, scripted(second) as other:
        async with serve_proxy(groups(main, other, content_filter_fallbacks=["g0"])) as proxy:
            reply = await ask(proxy.port, body=HELLO)
    assert (reply.status, reply.error["message"]) == (400, "filtered")
