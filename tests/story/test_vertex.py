"""Vertex AI gets OpenAI's API and Anthropic's at their own paths, with a token."""

import json

import pytest

from llmproxy.batteries.credentials import CloudCredentials
from llmproxy.batteries.credentials.google import GoogleToken
from llmproxy.batteries.credentials.renewed import Lasting
from tests.support.client import CHAT, ask
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import LAST_CHUNK, always, chat, chunk, http, scripted, sse_head

ROOT = "/v1/projects/p/locations/us-east5"
MESSAGES = "/v1/messages"
MESSAGE = {"model": "gpt-4.1", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
ANSWER = b'{"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hi"}]}'


def battery(quota_project=None):
    token = GoogleToken(b"ya29.token", quota_project)
    return CloudCredentials(
        {"google": lambda file: lambda: Lasting(token, 1e12, 1e12)}, is_installed=bool
    )


def at(vendor, root=ROOT, model="claude-sonnet-4-5@20250929", **params):
    base_url = f"http://127.0.0.1:{vendor.port}{root}"
    params = {"base_url": base_url, "credentials": "google", **params}
    return config_for({"provider": "vertex", "model": model, "params": params})


async def asked(path, body, *, answer=None, headers=(), quota_project=None, steps=None, **at_what):
    """Return the request that Vertex AI gets for a call."""
    steps = steps or always(http(chat("hi") if answer is None else answer))
    async with scripted(steps) as vendor:
        config = at(vendor, **at_what)
        async with serve_proxy(config, credentials=battery(quota_project)) as proxy:
            reply = await ask(proxy.port, path, body, headers=list(headers))
    assert reply.status == 200, reply.body
    return vendor.received[0]


def target_of(received):
    return received.line.split(" ")[1]


@pytest.mark.parametrize("root", [ROOT, f"{ROOT}/endpoints/openapi"])
@bounded()
async def test_a_chat_goes_to_the_openai_path_with_the_token(root):
    got = await asked("/v1/chat/completions", CHAT, root=root, model="google/gemini-2.5-pro")
    assert target_of(got) == f"{ROOT}/endpoints/openapi/chat/completions"
    assert got.header("authorization") == "Bearer ya29.token"
    assert json.loads(got.body)["model"] == "google/gemini-2.5-pro"


@bounded()
async def test_a_response_goes_to_openais_publisher():
    answer = {"object": "response", "status": "completed", "output": [{"type": "message"}]}
    body = {"model": "gpt-4.1", "input": "Hi"}
    got = await asked("/v1/responses", body, answer=answer, model="gpt-oss-120b")
    assert target_of(got) == f"{ROOT}/publishers/openai/v1/responses"


@bounded()
async def test_a_message_names_its_model_in_the_path_and_its_version_in_the_body():
    body = b'{ "max_tokens":5,"model":"gpt-4.1",  "messages":[{"role":"user","content":"Hi"}]}'
    got = await asked(f"{MESSAGES}?beta=true", body, answer=ANSWER)
    model = "claude-sonnet-4-5@20250929"
    assert target_of(got) == f"{ROOT}/publishers/anthropic/models/{model}:rawPredict"
    assert got.body == (
        b'{ "max_tokens":5,  "messages":[{"role":"user","content":"Hi"}],'
        b'"anthropic_version":"vertex-2023-10-16"}'
    )
    assert got.header("authorization") == "Bearer ya29.token"


@pytest.mark.parametrize(
    ("header", "in_body"),
    [
        ("2023-06-01", "vertex-2023-10-16"),  # the same version
        ("2026-10-21", "2026-10-21"),  # the SDK sends one name since then
        ('2026"x', "vertex-2023-10-16"),
    ],
)
@bounded()
async def test_the_version_in_a_clients_header_is_that_in_the_body(header, in_body):
    headers = [("Anthropic-Version", header)]
    for path, answer in ((MESSAGES, ANSWER), (f"{MESSAGES}/count_tokens", {"input_tokens": 1})):
        got = await asked(path, MESSAGE, answer=answer, headers=headers)
        assert json.loads(got.body)["anthropic_version"] == in_body


@bounded()
async def test_a_clients_own_version_and_betas_pass():
    body = {**MESSAGE, "anthropic_version": "vertex-2030-01-01"}
    headers = [("anthropic-beta", "a-1,b-2")]
    got = await asked(MESSAGES, body, answer=ANSWER, headers=headers)
    assert json.loads(got.body)["anthropic_version"] == "vertex-2030-01-01"
    assert got.header("anthropic-beta") == "a-1,b-2"


@bounded()
async def test_a_stream_of_messages_is_asked_for_by_its_own_verb():
    events = [
        {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 3}}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "H"}},
        {"type": "message_stop"},
    ]
    parts = [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events]
    steps = always(sse_head(), *(chunk(part) for part in parts), LAST_CHUNK)
    got = await asked(MESSAGES, {**MESSAGE, "stream": True}, steps=steps)
    assert target_of(got).endswith("@20250929:streamRawPredict")
    assert json.loads(got.body)["stream"] is True


@bounded()
async def test_tokens_are_counted_by_a_model_of_their_own():
    got = await asked(f"{MESSAGES}/count_tokens", MESSAGE, answer={"input_tokens": 3})
    assert target_of(got) == f"{ROOT}/publishers/anthropic/models/count-tokens:rawPredict"
    assert json.loads(got.body)["model"] == "claude-sonnet-4-5@20250929"


@bounded()
async def test_a_model_cannot_leave_its_place_in_the_path():
    got = await asked(MESSAGES, MESSAGE, answer=ANSWER, model="../../x?y#z")
    assert target_of(got) == f"{ROOT}/publishers/anthropic/models/..%2F..%2Fx%3Fy%23z:rawPredict"


@bounded()
async def test_a_users_own_calls_name_the_project_that_pays():
    got = await asked(
        "/v1/chat/completions",
        CHAT,
        quota_project=b"payer",
        headers=[("x-goog-user-project", "theirs")],
    )
    projects = [value for name, value in got.headers if name == "x-goog-user-project"]
    assert projects == ["payer"]


@bounded()
async def test_batches_of_messages_are_refused_here_because_vertex_has_none():
    async with scripted(always(http(ANSWER))) as vendor:
        async with serve_proxy(at(vendor), credentials=battery()) as proxy:
            reply = await ask(proxy.port, f"{MESSAGES}/batches", {"requests": []})
    assert reply.status >= 400
    assert vendor.received == []


@bounded()
async def test_anthropics_own_api_at_google_gets_a_token_and_is_not_readdressed():
    async with scripted(always(http(ANSWER))) as vendor:
        path = "/v1/projects/p/locations/global/workspaces/w/invoke/v1"
        params = {"base_url": f"http://127.0.0.1:{vendor.port}{path}", "credentials": "google"}
        config = config_for({"provider": "anthropic", "params": params})
        async with serve_proxy(config, credentials=battery()) as proxy:
            reply = await ask(proxy.port, MESSAGES, MESSAGE)
    assert reply.status == 200
    (got,) = vendor.received
    assert target_of(got) == f"{path}/messages"
    assert got.header("authorization") == "Bearer ya29.token"
    assert got.header("anthropic-version") == "2023-06-01"
    assert json.loads(got.body) == MESSAGE
