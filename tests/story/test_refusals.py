"""A refusal is judged by what it is about; one client's refusal changes nothing for the others."""

import json

import pytest

from llmproxy.events import EndpointChange
from tests.support.client import CHAT, ask
from tests.support.groups import group_of
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import GOOD, always, chat, error_body, http, scripted

WRONG_KEY = http(error_body("invalid_api_key"), status=401)
NO_SCOPE = http(error_body("missing_scope"), status=403)
NO_MODEL = http(error_body("model_not_found"), status=404)
EMBEDDINGS = {"model": "gpt-4.1", "input": "x"}


def picky(refusal):
    """Return a vendor that refuses embeddings, and answers everything else."""
    return lambda received, number: [
        refusal if "/embeddings" in received.line else http(chat("good"))
    ]


def suspects(proxy):
    changes = proxy.events.changes
    return [change.endpoint for change in changes if change.state is EndpointChange.SUSPECT]


@pytest.mark.parametrize("refusal", [WRONG_KEY, NO_SCOPE, NO_MODEL], ids=["key", "scope", "model"])
@pytest.mark.parametrize("endpoints", [1, 2, 3])
@bounded()
async def test_one_call_never_empties_a_group(refusal, endpoints):
    async with scripted(picky(refusal)) as vendor:
        async with serve_proxy(group_of(*[vendor] * endpoints)) as proxy:
            refused = await ask(proxy.port, "/v1/embeddings", EMBEDDINGS)
            served = [await ask(proxy.port, body=CHAT) for _ in range(3)]
    assert refused.status >= 400
    assert {reply.status for reply in served} == {200}


@bounded()
async def test_a_lone_endpoint_with_a_wrong_key_gives_every_client_the_vendors_words():
    async with scripted(always(WRONG_KEY)) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            replies = [await ask(proxy.port, body=CHAT) for _ in range(3)]
            assert suspects(proxy) == ["e0"], "the operator is told, and once"
    for reply in replies:
        assert (reply.status, reply.json) == (401, error_body("invalid_api_key"))
        assert reply.header("x-should-retry") == "false"


@pytest.mark.parametrize("refusal", [WRONG_KEY, NO_MODEL], ids=["key", "model"])
@bounded()
async def test_an_endpoint_that_served_others_just_now_is_not_set_aside(refusal):
    async with scripted(picky(refusal)) as first, scripted(GOOD) as second:
        async with serve_proxy(group_of(first, second)) as proxy:
            for _ in range(2):
                assert (await ask(proxy.port, body=CHAT)).status == 200
            for _ in range(4):
                await ask(proxy.port, "/v1/embeddings", EMBEDDINGS)
            served = [await ask(proxy.port, body=CHAT) for _ in range(4)]
    assert {reply.header("x-llmproxy-endpoint") for reply in served} == {"e0", "e1"}


@bounded()
async def test_a_wrong_key_sets_aside_an_endpoint_that_never_served():
    async with scripted(always(WRONG_KEY)) as wrong, scripted(GOOD) as fine:
        async with serve_proxy(group_of(wrong, fine)) as proxy:
            for _ in range(6):
                assert (await ask(proxy.port, body=CHAT)).status == 200
    assert len(wrong.received) == 1


@bounded()
async def test_a_refused_operation_goes_elsewhere_and_shuts_nothing():
    embedding = http({"data": [{"embedding": [0.5]}]})
    async with scripted(picky(NO_SCOPE)) as first, scripted(always(embedding)) as second:
        async with serve_proxy(group_of(first, second)) as proxy:
            replies = [await ask(proxy.port, "/v1/embeddings", EMBEDDINGS) for _ in range(4)]
            chats = [await ask(proxy.port, body=CHAT) for _ in range(2)]
    assert {reply.header("x-llmproxy-endpoint") for reply in replies} == {"e1"}
    assert "e0" in {reply.header("x-llmproxy-endpoint") for reply in chats}


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, b'{"error": {"code": "404", "message": "Resource not found"}}'), (400, b"Strange.")],
)
@bounded()
async def test_an_endpoint_that_alone_refuses_all_calls_is_said_to_look_misconfigured(status, body):
    refusal = http(body, status=status)
    async with scripted(GOOD) as fine, scripted(always(refusal)) as odd:
        async with serve_proxy(group_of(fine, odd)) as proxy:
            for _ in range(6):
                await ask(proxy.port, body=CHAT)
            assert suspects(proxy) == ["e1"]


@bounded()
async def test_a_bad_request_that_an_endpoint_refuses_now_and_then_is_nobodys_mistake():
    def strict(received, number):
        if json.loads(received.body).get("strange"):
            return [http(error_body("who_knows"), status=400)]
        return [http(chat("good"))]

    async with scripted(strict) as first, scripted(strict) as second:
        async with serve_proxy(group_of(first, second)) as proxy:
            for _ in range(4):
                await ask(proxy.port, body=CHAT)
            for _ in range(4):
                assert (await ask(proxy.port, body={**CHAT, "strange": 1})).status == 400
            assert suspects(proxy) == []


@pytest.mark.parametrize("same_key", [True, False])
@bounded()
async def test_a_key_that_serves_another_group_is_not_wrong(same_key):
    async with scripted(picky(WRONG_KEY)) as first, scripted(GOOD) as second:
        config = group_of(first, second)
        only = dict(config["model_groups"][0]["models"][0], name="only")
        if not same_key:
            only["params"] = {**only["params"], "api_key": "sk-another"}
        config["model_groups"].append({"model_group": "other", "models": [only]})
        async with serve_proxy(config) as proxy:
            assert (await ask(proxy.port, body={**CHAT, "model": "other"})).status == 200
            for _ in range(2):
                assert (await ask(proxy.port, "/v1/embeddings", EMBEDDINGS)).status == 200
            changes = [change.state for change in proxy.events.changes]
    expected = EndpointChange.SUSPECT if same_key else EndpointChange.MISCONFIGURED
    assert changes == [expected]
