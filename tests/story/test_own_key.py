"""A client's own key goes to the first origin asked and to no other."""

from tests.support.client import CHAT, ask
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import always, chat, error_body, http, scripted

OWN = [("authorization", "Bearer sk-client-own")]


def refusing(status, words="no"):
    return always(http(error_body("x", message=words), status=status))


def bring_your_own(vendor, name, **params):
    return {"name": name, "params": {"base_url": vendor.base_url, **params}}


@bounded()
async def test_a_clients_own_key_goes_to_the_first_origin_and_to_no_other(caplog):
    sad = refusing(500, "sk-client-own is wrong")
    async with scripted(sad) as first, scripted(refusing(401)) as second:
        config = config_for(
            bring_your_own(first, "e0"), bring_your_own(second, "e1", organization="o-1")
        )
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, body=CHAT, headers=OWN)

    asked = [*first.received, *second.received]
    with_key = {id(v) for v in (first, second) for r in v.received if r.header("authorization")}
    assert len(with_key) == 1, "whichever was first"
    assert len(asked) > 1
    assert reply.status == 503, "a 401 without the key is no answer to this client"
    assert "sk-client-own" not in repr(reply.headers) + reply.body.decode() + caplog.text


@bounded()
async def test_a_server_that_needs_no_key_still_takes_over_without_it():
    async with scripted(refusing(500)) as first, scripted(always(http(chat("hi")))) as other:
        main = {"model_group": "gpt-4.1", "models": [bring_your_own(first, "e0")]}
        spare = {"model_group": "spare", "models": [bring_your_own(other, "e1")]}
        config = {
            "model_groups": [{**main, "fallbacks": ["spare"]}, spare],
            "general_settings": {"num_retries": 0},
        }
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, body=CHAT, headers=OWN)

    assert (reply.status, reply.json) == (200, chat("hi"))
    assert first.received[0].header("authorization") == "Bearer sk-client-own"
    assert other.received[0].header("authorization") is None


@bounded()
async def test_the_same_origin_gets_the_key_again():
    async with scripted(refusing(500)) as vendor:
        config = config_for(bring_your_own(vendor, "e0"), bring_your_own(vendor, "e1"))
        async with serve_proxy(config) as proxy:
            await ask(proxy.port, body=CHAT, headers=OWN)

    assert len(vendor.received) > 1
    assert {r.header("authorization") for r in vendor.received} == {"Bearer sk-client-own"}
