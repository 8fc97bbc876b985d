"""Errors say whose trouble they are, so that one team above its own limit pages nobody."""

import pytest

from tests.support.client import CHAT, ask
from tests.support.groups import group_of
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import always, chat, http, scripted

GOOD = always(http(chat("hi")))
TROUBLES = {
    "caller_limit": (GOOD, CHAT, 429),
    "client": (GOOD, {**CHAT, "stream": 7}, 400),
    "upstream": (always(http({"error": {}}, status=500)), CHAT, 500),
}


@pytest.mark.parametrize("source", TROUBLES)
@bounded()
async def test_an_error_has_its_source(source):
    script, body, status = TROUBLES[source]
    callers = [{"name": "team", "key": "k1", "limits": {"rpm": 1}}]
    async with scripted(script) as vendor:
        async with serve_proxy(group_of(vendor, callers=callers, num_retries=0)) as proxy:
            headers = [("authorization", "Bearer k1")]
            if source == "caller_limit":
                await ask(proxy.port, body=CHAT, headers=headers)
            reply = await ask(proxy.port, body=body, headers=headers)
            assert reply.status == status
            assert proxy.events.calls[-1].record.answer.error_source == source


@bounded()
async def test_a_refusal_of_the_clients_own_key_is_the_clients():
    async with scripted(always(http({"error": {}}, status=401))) as vendor:
        config = group_of(vendor)
        del config["model_groups"][0]["models"][0]["params"]["api_key"]
        async with serve_proxy(config) as proxy:
            await ask(proxy.port, body=CHAT, headers=[("authorization", "Bearer own")])
            assert proxy.events.calls[-1].record.answer.error_source == "client"
