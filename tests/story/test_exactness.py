"""What the upstream receives is what the client sent, and the other way round, byte for byte."""

import gzip
import json
import os

import brotli
import pytest
import zstandard

from tests.support.client import CHAT, ask, connect, request
from tests.support.forms import FORM, FORM_MODEL, FORM_START
from tests.support.groups import group_of
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import GOOD, always, chat, error_body, http, scripted

BODIES = {
    "unusual spacing": b'\n\t{ "model" :\t"gpt-4.1" , "messages":[ ] }\r\n',
    "unicode": '{"model":"gpt-4.1","x":"é\u2028\U0001f600"}'.encode(),
    "escapes": b'{"model":"gpt-4.1","x":"\\u00e9\\/\\ud83d\\ude00"}',
    "duplicate keys": b'{"a":1,"model":"gpt-4.1","a":2,"a":3}',
    "big numbers": b'{"model":"gpt-4.1","n":123456789012345678901234567890,"e":1e400,"f":-0.0}',
    "unknown fields": b'{"model":"gpt-4.1","new":{"deep":[[[]]]},"api_base":"http://evil"}',
    "the model last": b'{"messages":[{"model":"no"}],"model":"gpt-4.1"}',
}


@pytest.mark.parametrize("what", BODIES)
@bounded()
async def test_a_body_is_forwarded_byte_for_byte(what):
    async with scripted(GOOD) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            assert (await ask(proxy.port, body=BODIES[what])).status == 200
            assert vendor.received[0].body == BODIES[what]


@pytest.mark.parametrize("what", BODIES)
@bounded()
async def test_only_the_model_is_spliced_when_the_upstream_has_another_name_for_it(what):
    async with scripted(GOOD) as vendor:
        config = group_of(vendor)
        config["model_groups"][0]["models"][0]["model"] = "my-deployment"
        async with serve_proxy(config) as proxy:
            assert (await ask(proxy.port, body=BODIES[what])).status == 200
            assert vendor.received[0].body == BODIES[what].replace(b"gpt-4.1", b"my-deployment")


@bounded()
async def test_megabytes_of_anything_pass_in_both_directions():
    junk = os.urandom(2**20)
    text = json.dumps({"model": "gpt-4.1", "x": junk.hex()}).encode()
    async with scripted(always(http(junk, content_type="application/octet-stream"))) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            for _ in range(5):
                reply = await ask(proxy.port, "/v1/images/generations", text)
                assert reply.body == junk
                assert vendor.received[-1].body == text


@pytest.mark.parametrize("size", [1, 3, 17, 100])
@bounded()
async def test_an_answer_arrives_whole_at_any_split(size):
    wire = http(chat("hé" * 100, unknown={"a": [1, 2]}), headers=[("x-one", "1"), ("x-one", "2")])
    steps = []
    for i in range(0, len(wire), size):
        steps += [wire[i : i + size], 0.0002]
    async with scripted(always(*steps)) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            reply = await ask(proxy.port, body=CHAT)
            assert reply.json == chat("hé" * 100, unknown={"a": [1, 2]})
            assert reply.all("x-one") == ["1", "2"]


@bounded()
async def test_a_request_arrives_whole_at_any_split():
    wire = request(body=BODIES["unicode"], headers=[("x-one", "1")])
    async with scripted(GOOD) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            client = await connect(proxy.port)
            for i in range(len(wire)):
                await client.send(wire[i : i + 1])
            assert (await client.reply()).status == 200
            assert vendor.received[0].body == BODIES["unicode"]


ENCODERS = {
    "gzip": gzip.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "identity": bytes,
}


@pytest.mark.parametrize("encoding", ENCODERS)
@bounded()
async def test_an_encoded_request_body_is_decoded_for_the_upstream(encoding):
    body = json.dumps({**CHAT, "model": "other", "pad": "x" * 1000}).encode()
    async with scripted(GOOD) as vendor:
        async with serve_proxy(
            config_for({"model": "gpt-4.1", "params": {"base_url": vendor.base_url}}, group="other")
        ) as proxy:
            reply = await ask(
                proxy.port, body=ENCODERS[encoding](body), headers=[("content-encoding", encoding)]
            )
            assert reply.status == 200
            assert vendor.received[0].body == body.replace(b'"other"', b'"gpt-4.1"')
            assert vendor.received[0].header("content-encoding") is None


@bounded()
async def test_an_encoded_answer_passes_as_it_is_and_its_tokens_are_read():
    packed = gzip.compress(json.dumps(chat("good")).encode())
    async with scripted(always(http(packed, headers=[("content-encoding", "gzip")]))) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            reply = await ask(proxy.port, body=CHAT, headers=[("accept-encoding", "gzip")])
            assert reply.body == packed
            assert reply.header("content-encoding") == "gzip"
            assert vendor.received[0].header("accept-encoding") == "gzip"
            assert proxy.events.calls[-1].record.answer.usage.input_tokens == 3


@bounded()
async def test_headers_pass_but_for_what_belongs_to_one_connection_or_one_account():
    answered = http(
        chat("good"),
        headers=[
            ("x-ratelimit-remaining-tokens", "12"),
            ("set-cookie", "session=1"),
            ("openai-organization", "org-1"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("x-request-id", "req-upstream"),
            ("x-llmproxy-endpoint", "forged"),
        ],
    )
    async with scripted(always(answered)) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            reply = await ask(
                proxy.port,
                body=CHAT,
                headers=[
                    ("Authorization", "Bearer sk-client"),
                    ("Cookie", "a=b"),
                    ("X-Forwarded-For", "1.2.3.4"),
                    ("x-ms-spillover-deployment", "dear"),
                    ("x-llmproxy-cache", "bypass"),
                    ("connection", "keep-alive, x-private"),
                    ("x-private", "1"),
                    ("openai-beta", "assistants=v2"),
                    ("x-dup", "1"),
                    ("x-dup", "2"),
                ],
            )
            sent = {name.lower() for name, _ in vendor.received[0].headers}
            assert vendor.received[0].header("authorization") == "Bearer sk-0"
            assert not sent & {
                "cookie",
                "x-forwarded-for",
                "x-ms-spillover-deployment",
                "x-llmproxy-cache",
                "x-private",
                "connection",
            }
            assert vendor.received[0].header("openai-beta") == "assistants=v2"
            assert [v for k, v in vendor.received[0].headers if k == "x-dup"] == ["1", "2"]
            assert reply.header("x-ratelimit-remaining-tokens") == "12"
            assert reply.header("x-request-id") == "req-upstream"
            assert reply.all("x-llmproxy-endpoint") == ["e0"]
            assert reply.header("set-cookie") is None
            assert reply.header("openai-organization") is None
            assert reply.header("x-hop") is None


@bounded()
async def test_without_an_api_key_the_clients_own_credential_goes_up_and_its_401_comes_back():
    refused = http(error_body("invalid_api_key"), status=401)
    async with scripted(always(refused)) as vendor, scripted(GOOD) as other:
        config = group_of(vendor, other)
        for model in config["model_groups"][0]["models"]:
            del model["params"]["api_key"]
        async with serve_proxy(config) as proxy:
            reply = await ask(
                proxy.port, body=CHAT, headers=[("Authorization", "Bearer sk-client")]
            )
            assert (reply.status, reply.json) == (401, error_body("invalid_api_key"))
            assert vendor.received[0].header("authorization") == "Bearer sk-client"
            assert not other.received
            assert not proxy.events.changes, "another client's key may be fine"


@pytest.mark.parametrize(
    ("provider", "sent", "goes_up"),
    [
        ("openai", ("api-key", "k"), ("authorization", "Bearer k")),
        ("openai", ("Authorization", "Bearer k"), ("authorization", "Bearer k")),
        ("openai", ("x-api-key", "k"), ("authorization", "Bearer k")),
        ("azure", ("Authorization", "Bearer k"), ("api-key", "k")),
        ("azure", ("api-key", "k"), ("api-key", "k")),
        ("azure", ("Authorization", "Bearer eyJx.y.z"), ("authorization", "Bearer eyJx.y.z")),
    ],
)
@bounded()
async def test_a_clients_own_key_goes_up_in_the_style_of_the_vendor(provider, sent, goes_up):
    async with scripted(GOOD) as vendor:
        endpoint = {"provider": provider, "params": {"base_url": vendor.base_url}}
        async with serve_proxy(config_for(endpoint)) as proxy:
            assert (await ask(proxy.port, body=CHAT, headers=[sent])).status == 200
            keys = {"authorization", "api-key", "x-api-key"}
            seen = [(k.lower(), v) for k, v in vendor.received[0].headers if k.lower() in keys]
            assert seen == [goes_up]


@bounded()
async def test_a_model_in_an_azure_path_is_put_into_a_body_that_has_none():
    async with scripted(GOOD) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            path = "/openai/deployments/gpt-4.1/chat/completions?api-version=2024-10-21"
            assert (await ask(proxy.port, path, {"messages": []})).status == 200
            assert json.loads(vendor.received[0].body) == {"model": "gpt-4.1", "messages": []}
            assert vendor.received[0].line == "POST /v1/chat/completions HTTP/1.1"


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("renamed", [False, True])
@bounded()
async def test_an_upload_is_passed_on_whole_wherever_its_model_stands(chunked, renamed):
    body = FORM_START + os.urandom(3 * 2**20) + FORM_MODEL
    wire = request("/v1/audio/transcriptions", body, headers=FORM)
    if chunked:
        pieces = [body[i : i + 50_000] for i in range(0, len(body), 50_000)]
        framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        headers = [*FORM, ("transfer-encoding", "chunked")]
        head = request("/v1/audio/transcriptions", headers=headers, framed=False)
        wire = head + framed + b"0\r\n\r\n"
    async with scripted(always(http({"text": "hi"}))) as vendor:
        endpoint = {
            "model": "whisper-large" if renamed else "whisper-1",
            "params": {"base_url": vendor.base_url, "api_key": "k"},
        }
        async with serve_proxy(config_for(endpoint, group="whisper-1")) as proxy:
            client = await connect(proxy.port)
            await client.send(wire)
            assert (await client.reply()).json == {"text": "hi"}
            expected = body.replace(b"whisper-1", b"whisper-large") if renamed else body
            assert vendor.received[0].body == expected


@bounded()
async def test_an_upload_fails_over_whole():
    body = FORM_START + os.urandom(300_000) + FORM_MODEL
    busy = always(http(error_body("rate_limit_exceeded"), status=429))
    async with scripted(busy) as first, scripted(always(http({"text": "hi"}))) as second:
        config = group_of(first, second)
        config["model_groups"][0]["model_group"] = "whisper-1"
        for model in config["model_groups"][0]["models"]:
            model["model"] = "whisper-1"
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, "/v1/audio/transcriptions", body, headers=FORM)
            assert reply.json == {"text": "hi"}
            assert first.received[0].body == second.received[0].body == body
