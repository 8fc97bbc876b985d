"""Paths that clients really send: doubled and trailing slashes, kept sounds, names with a slash."""

import pytest

from tests.support.client import CHAT, ask
from tests.support.groups import group_of
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import always, chat, http, scripted

GOOD = always(http(chat("hi"), headers=[("x-request-id", "req-of-the-vendor")]))


@pytest.mark.parametrize(
    "path",
    [
        *("//v1/chat/completions", "/v1/chat/completions/", "//chat/completions"),
        *("///v1/chat/completions//", "/openai/v1/chat/completions/"),
        "//openai/deployments/gpt-4.1/chat/completions",
    ],
)
@bounded()
async def test_slashes_too_many_at_the_ends_are_no_matter(path):
    async with scripted(GOOD) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            reply = await ask(proxy.port, path=path, body=CHAT)

    assert reply.status == 200
    assert [r.line for r in vendor.received] == ["POST /v1/chat/completions HTTP/1.1"]


@bounded()
async def test_what_is_no_path_is_told_in_openais_shape():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            for path in ("//v1/", "//nothing/here", "/v1/chat//completions"):
                reply = await ask(proxy.port, path=path, body=CHAT)
                assert reply.status in (400, 404)
                assert reply.error["type"] == "invalid_request_error"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("path", ["/v1/audio/voice_consents/cons_1", "/v1/images/styles/st_1"])
@bounded()
async def test_what_is_kept_of_sounds_and_pictures_can_be_read_and_deleted(method, path):
    async with scripted(always(http({"id": "x"}))) as vendor:
        config = group_of(vendor)
        config["model_groups"][0]["model_group"] = "*"
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, method=method, path=path)

    assert reply.status == 200
    assert [r.line for r in vendor.received] == [f"{method} {path} HTTP/1.1"]


@bounded()
async def test_a_sound_cannot_be_read_where_it_is_made():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            assert (await ask(proxy.port, method="GET", path="/v1/audio/speech")).status == 405


@pytest.mark.parametrize("name", ["/models/llama", "meta-llama/Llama-3.1-8B"])
@bounded()
async def test_a_model_with_a_slash_in_its_name_is_found(name):
    async with scripted(GOOD) as vendor:
        config = group_of(vendor)
        config["model_groups"][0]["model_group"] = name
        async with serve_proxy(config) as proxy:
            path = "/v1/models/" + name.replace("/", "%2F")
            reply = await ask(proxy.port, method="GET", path=path)

    assert (reply.status, reply.json["id"]) == (200, name)


@pytest.mark.parametrize("status", [200, 400])
@bounded()
async def test_the_id_that_a_client_got_is_in_the_record(status):
    headers = [("x-request-id", "req-of-the-vendor")]
    async with scripted(always(http(chat("hi"), status=status, headers=headers))) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            reply = await ask(proxy.port, body=CHAT, headers=[("x-request-id", "ours")])
            record = proxy.events.calls[-1].record

    assert reply.header("x-request-id") == "req-of-the-vendor"
    assert (record.request.id, record.answer.request_id) == ("ours", b"req-of-the-vendor")
