"""One endpoint left, or none."""

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from tests.support.client import CHAT, STREAM, ask
from tests.support.process import running
from tests.support.run import bounded
from tests.support.vendor import always, error_body, http, scripted
from tests.system.clients import Load
from tests.system.vendors import group_of, vendors

QUICK = {"timeouts": {"first_byte_s": 1, "unary_first_byte_s": 1, "idle_s": 1}}
# A machine that runs other tests may let the one that is alive wait for a second.
PATIENT = {"first_byte_s": 2.5, "unary_first_byte_s": 2.5, "idle_s": 2.5}
INVALID_KEY = error_body("invalid_api_key", message="Incorrect API key provided: sk-upstream")


@bounded()
async def test_none_of_500_calls_fails_while_one_endpoint_is_alive(tmp_path):
    async with vendors(5, latency_s=0.01) as members:
        for vendor, fault in zip(
            members, ["connections refused", "500s", "resets", "stalls"], strict=False
        ):
            await vendor.begin_fault(fault)
        group = group_of(members, weights=(5, 4, 3, 2, 1))
        # The first calls may try all four dead endpoints before their breakers open.
        settings = {"timeouts": PATIENT, "num_retries": 4}
        async with running(
            tmp_path, config={"model_groups": [group], "general_settings": settings}
        ) as proxy:
            load = await Load(proxy.port, 500).run()

    assert load.failures == []
    assert load.served_by == {"w1": 500}


async def answer_when_all(faults, tmp_path, body=CHAT, **settings):
    """Return the error of a proxy whose three endpoints fail, and the seconds that it took."""
    async with vendors(3) as members:
        for vendor, fault in zip(members, faults, strict=True):
            await vendor.begin_fault(fault)
        config = {"model_groups": [group_of(members)], "general_settings": {**QUICK, **settings}}
        async with running(tmp_path, config=config) as proxy:
            began_at = time.monotonic()
            reply = await ask(proxy.port, body=body)
            return reply, time.monotonic() - began_at


def assert_it_may_be_asked_again(reply):
    assert reply.header("x-should-retry") is None
    assert 0 < int(reply.header("retry-after-ms")) <= 60_000
    assert 0 < int(reply.header("retry-after")) <= 60


@pytest.mark.parametrize("body", [CHAT, STREAM], ids=["unary", "stream"])
@bounded()
async def test_when_all_endpoints_are_dead_one_error_names_them_and_when_to_retry(tmp_path, body):
    reply, took_s = await answer_when_all(
        ["connections refused", "500s", "resets"], tmp_path, body, num_retries=2
    )

    assert (reply.status, reply.error["code"]) == (503, "no_endpoint_available")
    assert reply.error.keys() == {"message", "type", "param", "code"}
    assert reply.header("content-type") == "application/json"
    assert reply.header("x-llmproxy-error-source") == "proxy"
    assert reply.header("x-llmproxy-attempts") == "3"
    for name, why in {"w3": "cannot connect", "w2": "500", "w1": "connection was"}.items():
        assert f"{name}: " in reply.error["message"]
        assert why in reply.error["message"]
    assert_it_may_be_asked_again(reply)
    assert took_s < 2


@bounded()
async def test_when_all_credentials_are_rejected_each_client_gets_the_vendors_words(tmp_path):
    refusal = always(http(INVALID_KEY, status=401))
    async with AsyncExitStack() as stack:
        members = [await stack.enter_async_context(scripted(refusal)) for _ in range(3)]
        async with running(tmp_path, config={"model_groups": [group_of(members)]}) as proxy:
            replies = [await ask(proxy.port, body=CHAT) for _ in range(2)]
            stderr = proxy.stderr

    for reply in replies:
        assert reply.status == 401
        assert b"sk-upstream" not in reply.body
        assert reply.header("x-should-retry") == "false"
    assert [len(vendor.received) for vendor in members] == [1, 1, 2], (
        "the last one is not set aside"
    )
    assert stderr.count("ERROR") == 3, "a person must learn of each endpoint"
    assert "sk-upstream" not in stderr


@bounded()
async def test_many_clients_of_dead_endpoints_get_a_clear_error_before_their_timeout(tmp_path):
    async def one(port):
        began_at = time.monotonic()
        reply = await ask(port, body=CHAT, headers=[("x-llmproxy-timeout-s", "3")])
        return reply, time.monotonic() - began_at

    async with vendors(3) as members:
        for vendor in members:
            await vendor.begin_fault("500s")
        config = {"model_groups": [group_of(members)], "general_settings": QUICK}
        async with running(tmp_path, config=config) as proxy:
            answers = await asyncio.gather(*(one(proxy.port) for _ in range(50)))

    for reply, took_s in answers:
        assert reply.status in (503, 504)
        assert "w3: " in reply.error["message"]
        assert took_s < 4


@pytest.mark.clock
@pytest.mark.parametrize("body", [CHAT, STREAM], ids=["unary", "stream"])
@bounded()
async def test_a_stalled_endpoint_costs_no_more_than_the_clients_timeout(tmp_path, body):
    async with scripted(always("hang")) as stalled:
        async with running(
            tmp_path, config={"model_groups": [group_of([stalled], weights=[1])]}
        ) as proxy:
            began_at = time.monotonic()
            reply = await ask(proxy.port, body=body, headers=[("x-llmproxy-timeout-s", "1")])
            took_s = time.monotonic() - began_at
            (line,) = await proxy.logged(1)
            await asyncio.sleep(0.1)

    assert reply.status == 504
    assert reply.error["message"]
    assert reply.header("content-type") == "application/json"
    assert 0.9 <= took_s <= 1.5
    assert line["status"] == 504
    assert stalled.received[0].gone_at is not None, "the proxy gave it up"
