"""A call that is larger than an endpoint's whole limit: nobody else waits for it."""

import pytest

from tests.support.client import CHAT, ask
from tests.support.groups import group_of
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import GOOD, always, chat, error_body, http, scripted

WORDS = (
    "Request too large for gpt-4.1 in organization org-x on tokens per min (TPM): "
    "Limit 3000, Requested 6000. The input or output tokens must be reduced."
)
HUGE = {**CHAT, "messages": [{"role": "user", "content": "word " * 8000}]}


def small(status):
    """Return a vendor that refuses what is huge."""
    refusal = http(error_body("rate_limit_exceeded", kind="tokens", message=WORDS), status=status)
    return lambda received, number: [refusal if len(received.body) > 9000 else http(chat("good"))]


@pytest.mark.parametrize("status", [429, 413])
@bounded()
async def test_alone_it_is_asked_once_and_serves_others_at_once(status):
    async with scripted(small(status)) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            refused = await ask(proxy.port, body=HUGE)
            assert (refused.status, refused.error["message"]) == (status, WORDS)
            assert refused.header("x-should-retry") == "false"
            assert len(vendor.received) == 1
            served = await ask(proxy.port, body=CHAT)
            assert (served.status, served.header("x-llmproxy-attempts")) == (200, "1")
            again = await ask(proxy.port, body=HUGE)
            assert again.status == status, "our count is an estimate: it is asked again"


@bounded()
async def test_a_bound_of_bodies_is_the_endpoints_own():
    page = http(b"<html>413 Request Entity Too Large</html>", status=413, content_type="text/html")
    async with scripted(always(page)) as bounded_by_nginx, scripted(GOOD) as other:
        async with serve_proxy(group_of(bounded_by_nginx, other)) as proxy:
            replies = [await ask(proxy.port, body=HUGE) for _ in range(3)]
            assert {reply.status for reply in replies} == {200}
            assert len(bounded_by_nginx.received) <= 1
        async with serve_proxy(group_of(bounded_by_nginx)) as proxy:
            alone = await ask(proxy.port, body=HUGE)
            assert (alone.status, alone.body) == (413, b"<html>413 Request Entity Too Large</html>")


@pytest.mark.parametrize("status", [429, 413])
@bounded()
async def test_a_larger_endpoint_answers_and_later_large_calls_go_there_at_once(status):
    async with scripted(small(status)) as little, scripted(GOOD) as large:
        config = group_of(little, large)
        config["model_groups"][0]["models"][1]["tier"] = 1
        async with serve_proxy(config) as proxy:
            replies = [await ask(proxy.port, body=HUGE) for _ in range(3)]
            assert {reply.header("x-llmproxy-endpoint") for reply in replies} == {"e1"}
            assert len(little.received) == 1
            served = await ask(proxy.port, body=CHAT)
            assert served.header("x-llmproxy-endpoint") == "e0"
