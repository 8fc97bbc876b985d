"""The reasons for a call's route: its steps, in a header on request and in events."""

import pytest

from llmproxy.steps import Attempt, FellBack, PassedOver
from tests.support.client import HELLO, STREAM, ask
from tests.support.groups import endpoint, two_groups, two_tiers
from tests.support.limits import reports_limits
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import DOWN, GOOD, scripted

EXPLAIN = ("x-llmproxy-explain", "1")


@pytest.mark.parametrize("body", [HELLO, STREAM], ids=["unary", "stream"])
@bounded()
async def test_the_explain_header_lists_the_failure_and_the_answer(body):
    async with scripted(DOWN) as bad, scripted(GOOD) as good:
        config = config_for(endpoint(bad, "bad"), endpoint(good, "good"), allowed_fails=1)
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, body=body, headers=[EXPLAIN])
            failed, answered = reply.header("x-llmproxy-explain").split("; ")
            assert failed.startswith("bad failed 500 (server_error) after ")
            assert failed.endswith(" ms, then next endpoint")
            assert answered.startswith("good answered 200 after ")
            reply = await ask(proxy.port, body=body, headers=[EXPLAIN])
            skipped, answered = reply.header("x-llmproxy-explain").split("; ")
            assert skipped.startswith("skipped bad (server_error, breaker open for ")
            assert answered.startswith("good answered 200")


@bounded()
async def test_without_the_header_or_with_0_nothing_is_explained():
    async with scripted(GOOD) as vendor, serve_proxy(config_for(vendor.base_url)) as proxy:
        for headers in ([], [("x-llmproxy-explain", "0")]):
            reply = await ask(proxy.port, body=HELLO, headers=headers)
            assert reply.header("x-llmproxy-explain") is None
        assert "x-llmproxy-explain" not in dict(vendor.received[1].headers)


@bounded()
async def test_a_failed_call_lists_why_each_endpoint_did_not_serve_it():
    async with scripted(DOWN) as one, scripted(DOWN) as other:
        config = config_for(endpoint(one, "one"), endpoint(other, "other"), num_retries=0)
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, body=HELLO, headers=[EXPLAIN])
            assert reply.status == 503
            failed, skipped = reply.header("x-llmproxy-explain").split("; ")
            assert failed.startswith("one failed 500 (server_error) after ")
            assert failed.endswith("then give up")
            assert skipped == "skipped other (not retried yet)"


@bounded()
async def test_a_cached_answer_says_that_no_endpoint_was_asked():
    async with scripted(GOOD) as vendor:
        settings = {"cache": True, "cache_params": {"mode": "all"}}
        async with serve_proxy(config_for(vendor.base_url, **settings)) as proxy:
            await ask(proxy.port, body=HELLO)
            reply = await ask(proxy.port, body=HELLO, headers=[EXPLAIN])
            assert reply.header("x-llmproxy-cache") == "hit"
            assert reply.header("x-llmproxy-explain") == "no endpoint was asked"


@bounded()
async def test_the_event_of_a_call_has_its_steps_in_order_and_none_of_its_content():
    async with scripted(DOWN) as main, scripted(GOOD) as other:
        async with serve_proxy(two_groups(main, other)) as proxy:
            await ask(proxy.port, body=HELLO)
        (event,) = proxy.events.calls
        failed, fell, answered = event.record.steps
        assert isinstance(failed, Attempt)
        assert isinstance(fell, FellBack)
        assert (failed.endpoint, failed.outcome, failed.status) == ("main", "failed", 500)
        assert (fell.group, answered.endpoint, answered.outcome) == ("g0", "e0", "answered")
        record = event.record
        assert record.request.received_at <= failed.began_at <= fell.at <= answered.began_at
        assert (record.group, record.fallback) == ("gpt-4.1", "g0")
        assert not record.request.stream
        assert "hello" not in repr(event)


@bounded()
async def test_a_full_endpoint_that_was_skipped_is_named():
    async with scripted(reports_limits(0, "9s")) as cheap, scripted(GOOD) as dear:
        async with serve_proxy(two_tiers(cheap, dear, spill_wait_s=0)) as proxy:
            await ask(proxy.port, body=HELLO)
            await ask(proxy.port, body=HELLO)
        skipped, answered = proxy.events.calls[1].record.steps
        assert isinstance(skipped, PassedOver)
        assert (skipped.endpoint, answered.endpoint) == ("cheap", "dear")
        assert skipped.why.startswith("full for ")
