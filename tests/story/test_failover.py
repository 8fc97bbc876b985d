"""A call is served while any endpoint can serve it."""

import asyncio

import pytest

from tests.support.client import CHAT, STREAM, ask
from tests.support.groups import group_of
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import (
    DONE,
    GOOD,
    LAST_CHUNK,
    always,
    chat,
    chunk,
    delta,
    error_body,
    event,
    http,
    scripted,
    sse_head,
)

FAULTS = {
    "a 500": [http(error_body("server_error"), status=500)],
    "a 503": [http(error_body("server_is_overloaded"), status=503)],
    "a 429": [http(error_body("rate_limit_exceeded"), status=429, headers=[("retry-after", "9")])],
    "a 429 for money": [http(error_body("insufficient_quota"), status=429)],
    "a 401": [http(error_body("invalid_api_key"), status=401)],
    "a 404 for the model": [http(error_body("model_not_found"), status=404)],
    "a 404 for the deployment": [http(error_body("DeploymentNotFound"), status=404)],
    "a 408": [http(error_body(None), status=408)],
    "an HTML 502": [http(b"<html>Bad Gateway</html>", status=502, content_type="text/html")],
    "a reset": ["reset"],
    "a close without an answer": ["close"],
    "a body cut short": [http(chat("bad"))[:-9], "close"],
    "a malformed head": [b"HTTP/1.1 OK\r\n\r\n"],
    "silence": ["hang"],
    "a head and then silence": [http(chat("bad"))[:60], "hang"],
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("body", [CHAT, STREAM], ids=["unary", "stream"])
@bounded()
async def test_another_endpoint_answers_when_one_fails_with(fault, body):
    good = GOOD if body is CHAT else always(_stream("good"))
    async with scripted(always(*FAULTS[fault])) as bad, scripted(good) as fine:
        async with serve_proxy(group_of(bad, fine)) as proxy:
            reply = await ask(proxy.port, body=body)
            assert reply.status == 200
            assert b"good" in reply.body
            assert b"bad" not in reply.body
            assert reply.header("x-llmproxy-endpoint") == "e1"
            assert reply.header("x-llmproxy-attempts") == "2"
            (failure,) = proxy.events.failures
            assert failure.attempt.endpoint == "e0"
            assert failure.attempt.verdict == "next endpoint"


def _stream(text):
    return (
        sse_head() + chunk(delta(role="assistant")) + chunk(delta(text)) + chunk(DONE) + LAST_CHUNK
    )


EARLY = {
    "an error as the first event": [event({"error": {"message": "overloaded", "code": None}})],
    "an error after the role": [
        delta(role="assistant", content=""),
        event({"error": {"message": "no", "type": "server_error", "code": "server_error"}}),
    ],
    "an end after the role": [delta(role="assistant", content="")],
    "nothing at all": [],
}


@pytest.mark.parametrize("how", ["ended", "cut", "reset"])
@pytest.mark.parametrize("what", EARLY)
@bounded()
async def test_a_stream_that_fails_in_its_preamble_fails_over_unseen(what, how):
    steps = [sse_head(), *map(chunk, EARLY[what])]
    steps += {"ended": [LAST_CHUNK], "cut": ["close"], "reset": [0.05, "reset"]}[how]
    async with scripted(always(*steps)) as bad, scripted(always(_stream("good"))) as fine:
        async with serve_proxy(group_of(bad, fine)) as proxy:
            reply = await ask(proxy.port, body=STREAM)
            assert reply.status == 200
            assert reply.header("x-llmproxy-endpoint") == "e1"
            assert reply.body == delta(role="assistant") + delta("good") + DONE


@bounded()
async def test_responses_that_fail_first_fail_over_unseen():
    created = event({"type": "response.created", "response": {"id": "resp_1"}})
    failed = event(
        {
            "type": "response.failed",
            "response": {"id": "resp_1", "error": {"code": "server_is_overloaded", "message": "x"}},
        }
    )
    done = event({"type": "response.completed", "response": {"id": "resp_2"}})
    bad_steps = [sse_head(), chunk(created), 0.05, chunk(failed), LAST_CHUNK]
    good_steps = [sse_head(), chunk(done), LAST_CHUNK]
    async with scripted(always(*bad_steps)) as bad, scripted(always(*good_steps)) as fine:
        async with serve_proxy(group_of(bad, fine)) as proxy:
            body = {"model": "gpt-4.1", "input": "hi", "stream": True}
            reply = await ask(proxy.port, "/v1/responses", body)
            assert reply.body == done


@bounded()
async def test_a_refused_connection_fails_over():
    async with scripted(GOOD) as fine:
        config = group_of(fine, fine)
        config["model_groups"][0]["models"][0]["params"]["base_url"] = "http://127.0.0.1:9/v1"
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, body=CHAT)
            assert (reply.status, reply.header("x-llmproxy-endpoint")) == (200, "e1")
            assert "cannot connect" in proxy.events.failures[0].attempt.message


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "invalid_request"),
        (400, "context_length_exceeded"),
        (400, "content_filter"),
        (404, "response_not_found"),
        (422, "unprocessable"),
    ],
)
@bounded()
async def test_the_clients_own_mistake_is_not_tried_elsewhere_and_comes_back_unchanged(
    status, code
):
    refusal = http(error_body(code), status=status, headers=[("x-extra", "kept")])
    async with scripted(always(refusal)) as strict, scripted(GOOD) as fine:
        async with serve_proxy(group_of(strict, fine)) as proxy:
            reply = await ask(proxy.port, body=CHAT)
            assert reply.status == status
            assert reply.json == error_body(code)
            assert reply.header("x-extra") == "kept"
            assert reply.header("x-llmproxy-error-source") == "upstream"
            assert not fine.received
            again = await ask(proxy.port, body=CHAT)
            assert again.status == 200, "a client's mistake must not cool the endpoint"


@bounded()
async def test_when_all_endpoints_fail_the_error_names_each_and_its_reason():
    async with scripted(always(http(error_body("x"), status=500))) as bad:
        async with scripted(always("reset")) as worse:
            async with serve_proxy(group_of(bad, worse, num_retries=1)) as proxy:
                reply = await ask(proxy.port, body=CHAT)
                assert reply.status == 503
                message = reply.error["message"]
                assert "e0: " in message
                assert "500" in message
                assert "e1: " in message
                assert "closed" in message or "reset" in message
                assert "sk-" not in message
                assert reply.error["code"] == "no_endpoint_available"
                assert reply.header("x-llmproxy-error-source") == "proxy"
                assert reply.header("retry-after") is not None


@bounded()
async def test_when_every_endpoint_throttles_the_client_gets_a_429_with_the_soonest_time():
    slow = always(
        http(error_body("rate_limit_exceeded"), status=429, headers=[("retry-after", "40")])
    )
    slower = always(
        http(error_body("rate_limit_exceeded"), status=429, headers=[("retry-after", "50")])
    )
    async with scripted(slow) as first, scripted(slower) as second:
        async with serve_proxy(group_of(first, second)) as proxy:
            for _ in range(2):
                reply = await ask(proxy.port, body=CHAT)
                assert reply.status == 429
                assert 38_000 <= int(reply.header("retry-after-ms")) <= 40_000
                assert reply.header("retry-after") == "40"
            assert len(first.received) == len(second.received) == 1, (
                "no call is sent during the cooldown"
            )


@bounded()
async def test_a_call_waits_for_a_short_cooldown():
    def once_busy(received, number):
        if number == 1:
            return [http(error_body("x"), status=429, headers=[("retry-after-ms", "300")])]
        return [http(chat("good"))]

    async with scripted(once_busy) as only:
        async with serve_proxy(group_of(only)) as proxy:
            reply = await ask(proxy.port, body=CHAT)
            assert reply.status == 200
            assert reply.header("x-llmproxy-attempts") == "2"


@bounded()
async def test_a_lone_endpoint_is_retried_and_its_last_error_is_passed_on():
    def recovers(received, number):
        status = 500 if number < 3 else 200
        return [http(chat("good") if status == 200 else error_body("x"), status=status)]

    async with scripted(recovers) as flaky:
        async with serve_proxy(group_of(flaky)) as proxy:
            assert (await ask(proxy.port, body=CHAT)).status == 200
            assert len(flaky.received) == 3
    async with scripted(always(http(error_body("broken"), status=500))) as dead:
        async with serve_proxy(group_of(dead, num_retries=2)) as proxy:
            reply = await ask(proxy.port, body=CHAT)
            assert (reply.status, reply.json) == (500, error_body("broken"))
            assert reply.header("x-should-retry") == "false"
            assert len(dead.received) == 3


@bounded()
async def test_a_call_that_creates_something_is_sent_once():
    async with scripted(always("reset")) as bad, scripted(GOOD) as fine:
        async with serve_proxy(group_of(bad, fine)) as proxy:
            body = {"model": "gpt-4.1", "input": "hi", "background": True}
            reply = await ask(proxy.port, "/v1/responses", body)
            assert reply.status == 502
            assert not fine.received


@pytest.mark.parametrize("field", ["previous_response_id", "conversation"])
@bounded()
async def test_a_call_that_continues_another_is_refused_where_nobody_knows_the_account(field):
    async with scripted(GOOD) as first, scripted(GOOD) as second:
        body = {"model": "gpt-4.1", "input": "and then?", field: "id_1"}
        async with serve_proxy(group_of(first, second)) as proxy:
            reply = await ask(proxy.port, "/v1/responses", body)
            assert (reply.status, reply.error["code"]) == (404, "unknown_id")
            assert not first.received + second.received
            fresh = await ask(proxy.port, "/v1/responses", {**body, field: None})
            assert fresh.status == 200
        async with serve_proxy(group_of(first)) as proxy:
            assert (await ask(proxy.port, "/v1/responses", body)).status == 200


@bounded()
async def test_a_dead_endpoint_is_left_alone_and_gets_its_share_again_when_it_is_back():
    dead = True

    def answer(received, number):
        return ["reset"] if dead else [http(chat("back"))]

    async with scripted(answer) as first, scripted(GOOD) as second:
        async with serve_proxy(group_of(first, second, cooldown_time=0.2)) as proxy:
            for _ in range(20):
                assert (await ask(proxy.port, body=CHAT)).status == 200
            assert len(first.received) <= 4, "an open breaker must keep calls away"
            dead = False
            while "closed" not in [change.state for change in proxy.events.changes]:
                await asyncio.sleep(0.01)
                assert (await ask(proxy.port, body=CHAT)).status == 200
            before = len(first.received)
            while len(first.received) == before:
                assert (await ask(proxy.port, body=CHAT)).status == 200
            states = [change.state for change in proxy.events.changes if change.endpoint == "e0"]
            assert states[0] == "open"


@bounded()
async def test_a_kept_connection_that_closes_on_reuse_is_not_a_failure():
    def answer(received, number):
        first_on_connection = all(
            other is received or other.connection != received.connection
            for other in vendor.received
        )
        return [http(chat("good"))] if first_on_connection else ["reset"]

    async with scripted(answer) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            for _ in range(6):
                reply = await ask(proxy.port, body=CHAT)
                assert reply.status == 200
                assert reply.header("x-llmproxy-attempts") == "1"
            assert not proxy.events.failures


@bounded()
async def test_the_log_names_the_next_endpoint_after_a_failure():
    def fails_at_first(received, number):
        return FAULTS["a 500"] if number == 1 else (http(chat("good")),)

    async with scripted(fails_at_first) as vendor:
        async with serve_proxy(group_of(vendor, num_retries=3)) as proxy:
            assert (await ask(proxy.port, body=CHAT)).status == 200
            assert [event.attempt.verdict for event in proxy.events.failures] == ["same endpoint"]
    dead = always(*FAULTS["a 500"])
    async with scripted(dead) as one, scripted(dead) as other:
        async with serve_proxy(group_of(one, other, num_retries=1)) as proxy:
            await ask(proxy.port, body=CHAT)
            assert [event.attempt.verdict for event in proxy.events.failures] == [
                "next endpoint",
                "give up",
            ]
