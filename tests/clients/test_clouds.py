"""Bedrock and Vertex AI are sent what the vendors' own clients for these clouds send them."""

import asyncio
import json

import pytest

from llmproxy.batteries.credentials import CloudCredentials
from llmproxy.batteries.credentials.google import GoogleToken
from llmproxy.batteries.credentials.renewed import Lasting
from tests.support.late import Late
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import always, chat, http, scripted

anthropic = Late("anthropic")
openai = Late("openai")

MODEL = "claude-sonnet-4-5@20250929"
ANSWER = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
QUESTION = {"model": MODEL, "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
PATH = "/v1/projects/p/locations/us-east5"


@pytest.fixture(scope="module", autouse=True)
def imported():
    """Import the clients before a test's time runs: on a busy machine that takes long."""
    return anthropic.AnthropicVertex, openai.OpenAI


def battery():
    token = Lasting(GoogleToken(b"ya29.token", None), 1e12, 1e12)
    return CloudCredentials({"google": lambda file: lambda: token}, is_installed=bool)


def seen(received):
    """Return what a cloud judges a request by."""
    names = ("authorization", "anthropic-version", "anthropic-beta")
    line = received.line.replace("?beta=true", "")
    return line, json.loads(received.body), {name: received.header(name) for name in names}


async def both(provider, params, direct, through, answer):
    """Return what the cloud gets from its own client, and through the proxy."""
    async with scripted(always(http(answer))) as vendor:
        root = f"http://127.0.0.1:{vendor.port}"
        await asyncio.to_thread(direct, root)
        entry = {"provider": provider, "params": {**params, "base_url": root + params["base_url"]}}
        config = config_for(entry, group=MODEL)
        async with serve_proxy(config, credentials=battery()) as proxy:
            await asyncio.to_thread(through, proxy.root)
    return [seen(received) for received in vendor.received]


def ask(make, **options):
    """Return a call by a client of Anthropic."""

    def call(root):
        with make(root) as client:
            if options.get("betas"):
                client.beta.messages.create(**QUESTION, **options)
            else:
                client.messages.create(**QUESTION, **options)

    return call


def first_party(root):
    return anthropic.Anthropic(base_url=root, api_key="k", max_retries=0)


def vertex(root):
    return anthropic.AnthropicVertex(
        base_url=f"{root}/v1", region="us-east5", project_id="p", access_token="ya29.token"
    )


def mantle(root):
    return anthropic.AnthropicBedrockMantle(base_url=f"{root}/anthropic", api_key="bedrock-key")


VERTEX = ("vertex", {"base_url": PATH, "credentials": "google"})
BEDROCK = ("bedrock", {"base_url": "", "api_key": "bedrock-key"})


@pytest.mark.parametrize("options", [{}, {"system": "Be brief"}, {"betas": ["a-1", "b-2"]}])
@bounded()
async def test_vertex_gets_the_messages_that_its_own_client_sends(options):
    direct, through = ask(vertex, **options), ask(first_party, **options)
    own, ours = await both(*VERTEX, direct, through, ANSWER)
    assert ours[:2] == own[:2]
    for name in ("authorization", "anthropic-beta"):
        assert ours[2][name] == own[2][name]


@bounded()
async def test_vertex_counts_tokens_as_for_its_own_client():
    def count(make):
        def call(root):
            with make(root) as client:
                question = {key: QUESTION[key] for key in ("model", "messages")}
                client.messages.count_tokens(**question)

        return call

    answer = {"input_tokens": 3}
    own, ours = await both(*VERTEX, count(vertex), count(first_party), answer)
    assert ours[:2] == own[:2]


@pytest.mark.parametrize("options", [{}, {"betas": ["a-1", "b-2"]}])
@bounded()
async def test_bedrock_gets_the_messages_that_its_own_client_sends(options):
    direct, through = ask(mantle, **options), ask(first_party, **options)
    own, ours = await both(*BEDROCK, direct, through, ANSWER)
    assert ours == own


@bounded()
async def test_bedrock_gets_the_chat_that_openais_client_for_it_sends():
    question = {"model": MODEL, "messages": QUESTION["messages"]}

    def direct(root):
        from openai.providers.bedrock import bedrock

        provider = bedrock(base_url=f"{root}/openai/v1", api_key="bedrock-key", endpoint="runtime")
        with openai.OpenAI(provider=provider) as client:
            client.chat.completions.create(**question)

    def through(root):
        with openai.OpenAI(base_url=f"{root}/v1", api_key="k") as client:
            client.chat.completions.create(**question)

    own, ours = await both(*BEDROCK, direct, through, chat("Hi"))
    assert ours == own
