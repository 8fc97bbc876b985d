"""Realtime sessions as OpenAI's own clients open them."""

import asyncio

import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, OpenAI
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.admin.watching import scrape
from tests.support.client import ask
from tests.support.groups import group_of
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.websockets.realtime import realtime_vendor
from tests.websockets.waiting_for import finished

RESPONSE = ["response.created", "response.output_text.delta", "response.done"]


def headers_of(request):
    return [name.lower() for name, _ in request.headers.raw_items()]


@bounded()
async def test_openais_client_talks_to_an_endpoint_and_the_call_is_recorded():
    async with realtime_vendor() as vendor, serve_proxy(group_of(vendor)) as proxy:
        client = AsyncOpenAI(base_url=proxy.base_url, api_key="sk-client")
        async with client.realtime.connect(model="gpt-4.1") as session:
            assert (await session.recv()).type == "session.created"
            for _ in range(2):
                await session.response.create()
                assert [(await session.recv()).type for _ in range(3)] == RESPONSE
        (record,) = await finished(proxy)
    (request,) = vendor.requests
    assert request.path == "/v1/realtime?model=gpt-4.1"
    assert request.headers["authorization"] == "Bearer sk-0"
    assert (record.group, record.endpoint, record.attempts) == ("gpt-4.1", "e0", 1)
    answer = record.answer
    assert (answer.status, answer.error, answer.close_code) == (101, None, 1000)
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (40, 20)
    assert answer.usage.cached_tokens == 16
    (attempt,) = proxy.events.attempts
    assert attempt.usage == answer.usage


@bounded()
async def test_a_session_is_a_call_in_the_metrics():
    async with realtime_vendor() as vendor, serve_proxy(group_of(vendor)) as proxy:
        async with connect(f"ws://127.0.0.1:{proxy.port}/v1/realtime?model=gpt-4.1") as session:
            await session.recv()
            await session.send('{"type": "response.create"}')
            while "response.done" not in await session.recv():
                pass
        await finished(proxy)
        metrics = await scrape(proxy)
    assert metrics["llmproxy_calls_total", "gpt-4.1", "e0", "2xx"] == 1
    assert metrics["llmproxy_tokens_total", "gpt-4.1", "e0", "input"] == 20


@pytest.mark.filterwarnings("ignore:connect:DeprecationWarning")  # how openai uses websockets
@bounded()
async def test_openais_synchronous_client_does_too():
    async with realtime_vendor() as vendor, serve_proxy(group_of(vendor)) as proxy:

        def talk():
            client = OpenAI(base_url=proxy.base_url, api_key="sk-client")
            with client.realtime.connect(model="gpt-4.1") as session:
                first = session.recv().type
                session.response.create()
                return [first, *(session.recv().type for _ in range(3))]

        assert await asyncio.to_thread(talk) == ["session.created", *RESPONSE]


@bounded()
async def test_azures_client_names_a_deployment():
    async with realtime_vendor() as vendor, serve_proxy(group_of(vendor)) as proxy:
        client = AsyncAzureOpenAI(
            azure_endpoint=proxy.root,
            websocket_base_url=f"ws://127.0.0.1:{proxy.port}/openai",
            api_key="sk-client",
            api_version="2025-04-01-preview",
        )
        async with client.realtime.connect(model="gpt-4.1") as session:
            assert (await session.recv()).type == "session.created"
    (request,) = vendor.requests
    assert request.path == "/v1/realtime?model=gpt-4.1"
    assert "api-key" not in request.headers


@pytest.mark.parametrize(
    ("provider", "path"),
    [
        ("azure", "/openai/v1/realtime?intent=x&model=real-1"),
        (
            "azure-classic",
            "/openai/realtime?intent=x&api-version=2025-04-01-preview&deployment=real-1",
        ),
        ("openai", "/openai/v1/realtime?intent=x&model=real-1"),
    ],
)
@bounded()
async def test_an_endpoint_gets_its_own_name_of_the_model(provider, path):
    async with realtime_vendor() as vendor:
        base = f"http://127.0.0.1:{vendor.port}/openai" + "/v1" * (provider != "azure-classic")
        params = {"base_url": base, "api_key": "sk-upstream"}
        if provider == "azure-classic":
            params["api_version"] = "2025-04-01-preview"
        entry = {"name": "e0", "model": "real-1", "provider": provider, "params": params}
        async with serve_proxy(config_for(entry, group="voice")) as proxy:
            url = f"ws://127.0.0.1:{proxy.port}/v1/realtime?intent=x&model=voice"
            async with connect(url) as session:
                await session.recv()
                update = '{"type":"session.update","session":{"model":"voice","voice":"ash"}}'
                await session.send(update)
                await session.recv()
    assert vendor.requests[0].path == path
    assert vendor.received == [update.replace("voice", "real-1", 1)]


@bounded()
async def test_the_key_of_a_browser_is_a_credential_wherever_it_is():
    settings = {"callers": [{"name": "page", "key": "sk-caller-of-the-page"}]}
    async with realtime_vendor() as vendor:
        async with serve_proxy(group_of(vendor, **settings)) as proxy:
            url = f"ws://127.0.0.1:{proxy.port}/v1/realtime?model=gpt-4.1"
            key = "openai-insecure-api-key.sk-caller-of-the-page"
            account = ["openai-organization.org-1", "openai-project.proj-1"]
            async with connect(url, subprotocols=["realtime", key, *account]) as session:
                assert session.subprotocol == "realtime"
            async with connect(f"{url}&api-key=sk-caller-of-the-page"):
                pass
            with pytest.raises(InvalidStatus) as refused:
                async with connect(url, subprotocols=["realtime", "openai-insecure-api-key.sk-no"]):
                    pass
            assert refused.value.response.status_code == 401
            records = await finished(proxy, 3)
    assert [record.request.caller for record in records] == ["page", "page", None]
    first, second = vendor.requests
    assert first.headers["sec-websocket-protocol"] == "realtime"
    assert "openai-organization" not in first.headers
    for request in (first, second):
        assert request.headers["authorization"] == "Bearer sk-0"
        assert request.path == "/v1/realtime?model=gpt-4.1"
        assert "sk-caller" not in str(request.headers)


@bounded()
async def test_without_callers_an_endpoint_without_a_key_gets_the_browsers():
    async with realtime_vendor() as vendor:
        entry = {"name": "e0", "params": {"base_url": vendor.base_url}}
        async with serve_proxy(config_for(entry)) as proxy:
            url = f"ws://127.0.0.1:{proxy.port}/v1/realtime?model=gpt-4.1"
            protocols = ["openai-insecure-api-key.sk-own", "openai-organization.org-1"]
            async with connect(url, subprotocols=["realtime", *protocols]):
                pass
    (request,) = vendor.requests
    assert request.headers["authorization"] == "Bearer sk-own"
    assert request.headers["openai-organization"] == "org-1"


@pytest.mark.parametrize("key", ["sk-%0d%0ax-injected:%201", "%00", "%C3%A4", ""])
@bounded()
async def test_a_key_in_the_query_adds_no_header_of_another_name(key):
    async with realtime_vendor() as vendor:
        entry = {"name": "e0", "params": {"base_url": vendor.base_url}}
        async with serve_proxy(config_for(entry)) as proxy:
            url = f"ws://127.0.0.1:{proxy.port}/v1/realtime?model=gpt-4.1&api-key={key}"
            async with connect(url):
                pass
    (request,) = vendor.requests
    assert not {"x-injected", "authorization"} & set(headers_of(request))
    assert request.path == "/v1/realtime?model=gpt-4.1"


@bounded()
async def test_compression_is_not_negotiated_and_a_page_of_another_site_is_refused():
    async with realtime_vendor() as vendor, serve_proxy(group_of(vendor)) as proxy:
        url = f"ws://127.0.0.1:{proxy.port}/v1/realtime?model=gpt-4.1"
        async with connect(url, compression="deflate") as session:
            assert session.protocol.extensions == []
        with pytest.raises(InvalidStatus) as refused:
            async with connect(url, origin="https://evil.example"):
                pass
        assert refused.value.response.status_code == 403
    (request,) = vendor.requests
    assert "sec-websocket-extensions" not in headers_of(request)


@bounded()
async def test_the_answer_to_the_upgrade_has_our_headers():
    async with realtime_vendor() as vendor, serve_proxy(group_of(vendor)) as proxy:
        url = f"ws://127.0.0.1:{proxy.port}/v1/realtime?model=gpt-4.1"
        asked = {"x-llmproxy-explain": "1", "x-request-id": "call-7"}
        async with connect(url, additional_headers=asked) as session:
            headers = session.response.headers
        assert headers["x-llmproxy-endpoint"] == "e0"
        assert headers["x-request-id"] == "call-7"
        assert "e0 answered 101" in headers["x-llmproxy-explain"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/realtime?model=nope", 404, "model_not_found"),
        ("/v1/chat/completions", 426, "upgrade_not_supported"),
        ("/v1/embeddings", 426, "upgrade_not_supported"),
        ("/nowhere", 426, "upgrade_not_supported"),
        ("/admin", 426, "upgrade_not_supported"),
    ],
)
@bounded()
async def test_what_is_not_served_is_refused_in_http(path, status, code):
    async with realtime_vendor() as vendor, serve_proxy(group_of(vendor)) as proxy:
        with pytest.raises(InvalidStatus) as refused:
            async with connect(f"ws://127.0.0.1:{proxy.port}{path}"):
                pass
        answer = refused.value.response
        assert answer.status_code == status
        assert code.encode() in answer.body
        assert answer.headers["connection"] == "close"
        assert vendor.requests == []


@pytest.mark.parametrize(
    "headers",
    [
        [("sec-websocket-version", "13")],
        [("sec-websocket-key", "dG9vIHNob3J0"), ("sec-websocket-version", "13")],
        [("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="), ("sec-websocket-version", "8")],
    ],
)
@bounded()
async def test_a_handshake_that_is_none_is_refused_with_400(headers):
    async with realtime_vendor() as vendor, serve_proxy(group_of(vendor)) as proxy:
        upgrade = [("connection", "Upgrade"), ("upgrade", "websocket"), *headers]
        reply = await ask(proxy.port, "/v1/realtime?model=gpt-4.1", method="GET", headers=upgrade)
        assert (reply.status, reply.error["code"]) == (400, "invalid_upgrade")
        assert vendor.requests == []


@bounded()
async def test_without_the_battery_an_upgrade_is_refused_with_426():
    async with realtime_vendor() as vendor:
        async with serve_proxy(group_of(vendor), without=("websockets",)) as proxy:
            with pytest.raises(InvalidStatus) as refused:
                async with connect(f"ws://127.0.0.1:{proxy.port}/v1/responses"):
                    pass
            assert refused.value.response.status_code == 426
