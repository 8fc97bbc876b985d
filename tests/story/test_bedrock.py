"""Bedrock gets each API at its own path, with a key or a signature that AWS would accept."""

import json

import pytest

from llmproxy.batteries.credentials import CloudCredentials
from llmproxy.batteries.credentials.aws import AwsKeys
from llmproxy.batteries.credentials.renewed import Lasting
from tests.credentials.sigv4 import ACCESS_KEY, SECRET_KEY, is_genuine, scope_of
from tests.support.client import CHAT, ask
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import LAST_CHUNK, always, chat, chunk, http, scripted, sse_head

MESSAGE = {"model": "gpt-4.1", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
ANSWER = b'{"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hi"}]}'
MESSAGES = "/v1/messages"


class Keys:
    """Stands for botocore's search for keys. `ask`: what the AWS tools would find."""

    def __init__(self, token=None, region="eu-west-1"):
        self.profiles = []
        self.found = AwsKeys(ACCESS_KEY, SECRET_KEY, token, region)

    def of(self, profile):
        self.profiles.append(profile)
        return lambda: Lasting(self.found, 1e12, 1e12)

    def battery(self):
        return CloudCredentials({"aws": self.of}, is_installed=bool)


def at(vendor, path="", **params):
    base_url = f"http://127.0.0.1:{vendor.port}{path}"
    return config_for({"provider": "bedrock", "params": {"base_url": base_url, **params}})


async def asked(path, body, *, prefix="", answer=None, headers=(), keys=None, **params):
    """Return the request that Bedrock gets for a call."""
    steps = always(http(chat("hi") if answer is None else answer))
    async with scripted(steps) as vendor:
        battery = None if keys is None else keys.battery()
        config = at(vendor, prefix, **params)
        async with serve_proxy(config, credentials=battery) as proxy:
            reply = await ask(proxy.port, path, body, headers=list(headers))
    assert reply.status == 200, reply.body
    return vendor.received[0]


def target_of(received):
    return received.line.split(" ")[1]


@pytest.mark.parametrize(
    ("prefix", "target"),
    [
        ("", "/openai/v1/chat/completions"),
        ("/openai/v1", "/openai/v1/chat/completions"),
        ("/v1", "/v1/chat/completions"),  # some models of bedrock-mantle
    ],
)
@bounded()
async def test_a_chat_goes_to_openais_paths_with_the_key(prefix, target):
    got = await asked("/v1/chat/completions", CHAT, prefix=prefix, api_key="bedrock-api-key-1")
    assert target_of(got) == target
    assert got.header("authorization") == "Bearer bedrock-api-key-1"
    assert got.header("anthropic-version") is None


@pytest.mark.parametrize("prefix", ["", "/openai/v1", "/anthropic/v1"])
@bounded()
async def test_a_message_goes_to_anthropics_path_byte_for_byte(prefix):
    body = b'{ "max_tokens":5,"model":"gpt-4.1", "messages":[{"role":"user","content":"Hi"}]}'
    got = await asked(MESSAGES, body, prefix=prefix, answer=ANSWER, api_key="k")
    assert target_of(got) == "/anthropic/v1/messages"
    assert got.body == body
    assert got.header("anthropic-version") == "2023-06-01"
    assert got.header("authorization") == "Bearer k"


@bounded()
async def test_a_clients_version_betas_and_query_pass():
    headers = [("Anthropic-Version", "2027-01-01"), ("anthropic-beta", "a-1,b-2")]
    path = f"{MESSAGES}?beta=true"
    got = await asked(path, MESSAGE, answer=ANSWER, headers=headers, api_key="k")
    assert target_of(got) == "/anthropic/v1/messages?beta=true"
    assert [name for name, _ in got.headers].count("anthropic-version") == 1
    assert got.header("anthropic-version") == "2027-01-01"
    assert got.header("anthropic-beta") == "a-1,b-2"


@bounded()
async def test_tokens_are_counted_at_anthropics_path():
    got = await asked(f"{MESSAGES}/count_tokens", MESSAGE, answer={"input_tokens": 3}, api_key="k")
    assert target_of(got) == "/anthropic/v1/messages/count_tokens"


@pytest.mark.parametrize("token", [None, "temporary"])
@bounded()
async def test_aws_accepts_the_signature_of_every_request(token):
    keys = Keys(token)
    for path, body, answer in (
        ("/v1/chat/completions", CHAT, None),
        (f"{MESSAGES}?beta=true", MESSAGE, ANSWER),
        ("/v1/embeddings", {"model": "gpt-4.1", "input": "ü"}, {"data": [{"embedding": [1]}]}),
    ):
        got = await asked(path, body, answer=answer, keys=keys, credentials="aws:prod")
        assert is_genuine(got)
        assert scope_of(got) == ("bedrock", "eu-west-1")  # the address names none
        assert got.header("x-amz-security-token") == token
    assert set(keys.profiles) == {"prod"}


@bounded()
async def test_what_a_client_of_aws_signed_for_us_does_not_reach_aws():
    theirs = [
        ("x-amz-date", "20200101T000000Z"),
        ("X-Amz-Security-Token", "theirs"),
        ("authorization", "AWS4-HMAC-SHA256 Credential=theirs"),
    ]
    got = await asked(
        "/v1/chat/completions", CHAT, headers=theirs, keys=Keys("ours"), credentials="aws"
    )
    assert is_genuine(got)
    values = [value for name, value in got.headers if name.lower() == "x-amz-security-token"]
    assert values == ["ours"]


@bounded()
async def test_a_stream_of_messages_passes_as_it_comes():
    events = [
        {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 3}}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "H"}},
        {"type": "message_stop"},
    ]
    parts = [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events]
    steps = always(sse_head(), *(chunk(part) for part in parts), LAST_CHUNK)
    async with scripted(steps) as vendor:
        config = at(vendor, credentials="aws")
        async with serve_proxy(config, credentials=Keys().battery()) as proxy:
            reply = await ask(proxy.port, MESSAGES, {**MESSAGE, "stream": True})
    assert reply.body == b"".join(parts)
    assert is_genuine(vendor.received[0])


@bounded()
async def test_without_keys_another_endpoint_serves_the_call():
    def nothing(profile):
        def fetch():
            raise RuntimeError("the instance has no role")

        return fetch

    async with scripted(always(http(chat("spare")))) as spare:
        config = at(spare, credentials="aws")
        other = {"tier": 1, "params": {"base_url": spare.base_url, "api_key": "k"}}
        config["model_groups"][0]["models"].append(other)
        battery = CloudCredentials({"aws": nothing}, is_installed=bool)
        async with serve_proxy(config, credentials=battery) as proxy:
            reply = await ask(
                proxy.port, "/v1/chat/completions", CHAT, headers=[("x-llmproxy-explain", "1")]
            )
    assert reply.status == 200
    assert "credential_rejected" in reply.header("x-llmproxy-explain")
    assert len(spare.received) == 1


@bounded()
async def test_a_signature_that_is_quoted_in_an_error_is_not_shown():

    def refuse(received, number):
        signature = received.header("authorization")
        body = {
            "message": f"Bad signature {signature}, token {received.header('x-amz-security-token')}"
        }
        return [http(body, status=403)]

    async with scripted(refuse) as vendor:
        config = at(vendor, credentials="aws")
        keys = Keys("temporary-token-of-the-proxy")
        async with serve_proxy(config, credentials=keys.battery()) as proxy:
            reply = await ask(proxy.port, "/v1/chat/completions", CHAT)
    assert reply.status >= 400
    assert b"temporary-token-of-the-proxy" not in reply.body
    assert vendor.received[0].header("authorization")[-64:].encode() not in reply.body


# ---- Anthropic's own API at AWS


@bounded()
async def test_anthropics_own_api_at_aws_is_signed_and_not_readdressed():
    workspace = {"anthropic-workspace-id": "wrkspc_1"}
    async with scripted(always(http(ANSWER))) as vendor:
        params = {"base_url": vendor.base_url, "credentials": "aws", "default_headers": workspace}
        config = config_for({"provider": "anthropic", "params": params})
        async with serve_proxy(config, credentials=Keys().battery()) as proxy:
            reply = await ask(proxy.port, f"{MESSAGES}/batches", {"requests": []})
    assert reply.status == 200
    (got,) = vendor.received
    assert target_of(got) == "/v1/messages/batches"
    assert got.header("anthropic-version") == "2023-06-01"
    assert got.header("anthropic-workspace-id") == "wrkspc_1"
    assert got.header("x-api-key") is None
    assert is_genuine(got)
