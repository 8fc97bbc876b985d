"""Responses over a WebSocket: the first message names the model."""

import json

import pytest
from openai import AsyncOpenAI
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.frames import CONT, TEXT, Frame

from tests.support.client import ask
from tests.support.groups import group_of
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import error_body, http
from tests.websockets.frames import echoing, raw_session
from tests.websockets.realtime import realtime_vendor
from tests.websockets.waiting_for import finished

MESSAGE = {"type": "message", "role": "assistant", "content": []}
CREATE = '{"type": "response.create", "model": "gpt-4.1",  "input": "hi"}'


def url(proxy, path="/v1/responses"):
    return f"ws://127.0.0.1:{proxy.port}{path}"


def entry(vendor, **parts):
    params = {"base_url": vendor.base_url, "api_key": "sk-upstream"}
    return {"name": "e0", "params": params, **parts}


@bounded()
async def test_openais_client_creates_responses_over_one_connection():
    async with realtime_vendor() as vendor, serve_proxy(group_of(vendor)) as proxy:
        client = AsyncOpenAI(base_url=proxy.base_url, api_key="sk-client")
        async with client.responses.connect() as connection:
            for _ in range(2):
                await connection.response.create(model="gpt-4.1", input="hi")
                kinds = [(await connection.recv()).type for _ in range(3)]
                assert kinds[0] == "response.created"
                assert kinds[-1] == "response.completed"
        (record,) = await finished(proxy)
    (request,) = vendor.requests
    assert request.path == "/v1/responses"
    assert request.headers["authorization"] == "Bearer sk-0"
    assert (record.group, record.request.model) == ("gpt-4.1", "gpt-4.1")
    assert (record.answer.usage.input_tokens, record.answer.usage.output_tokens) == (40, 20)


@bounded()
async def test_the_first_message_chooses_the_group():
    async with realtime_vendor() as one, realtime_vendor() as other:
        config = config_for(entry(one), group="one")
        config["model_groups"].append({"model_group": "other", "models": [entry(other)]})
        async with serve_proxy(config) as proxy:
            async with connect(url(proxy)) as session:
                await session.ping()
                await session.send(CREATE.replace("gpt-4.1", "other"))
                await session.recv()
    assert (len(one.requests), len(other.requests)) == (0, 1)


@bounded()
async def test_only_the_models_name_changes_for_an_endpoint_with_another_one():
    async with realtime_vendor() as vendor:
        async with serve_proxy(config_for(entry(vendor, model="real-1"), group="mine")) as proxy:
            async with connect(url(proxy)) as session:
                for _ in range(2):
                    await session.send(CREATE.replace("gpt-4.1", "mine"))
                    for _ in range(3):
                        await session.recv()
    assert vendor.received == [CREATE.replace("gpt-4.1", "real-1")] * 2


@bounded()
async def test_parameters_are_changed_as_for_other_calls():
    async with realtime_vendor() as vendor:
        config = config_for(entry(vendor, drop=["temperature"]), group="gpt-4.1")
        async with serve_proxy(config) as proxy:
            async with connect(url(proxy)) as session:
                await session.send(CREATE.replace('"input"', '"temperature": 1, "input"'))
                await session.recv()
    assert [json.loads(message) for message in vendor.received] == [json.loads(CREATE)]


@bounded()
async def test_fragments_of_an_unchanged_message_stay_fragments():
    async with echoing() as vendor, serve_proxy(group_of(vendor)) as proxy:
        async with raw_session(proxy.port, "/v1/responses") as session:
            half = len(CREATE) // 2
            frames = [
                Frame(TEXT, CREATE[:half].encode(), fin=False),
                Frame(CONT, CREATE[half:].encode()),
            ]
            for _ in range(2):
                await session.send(*frames)
                got = await session.frames(2)
                assert [(frame.opcode, frame.fin) for frame in got] == [(TEXT, False), (CONT, True)]
                assert b"".join(bytes(frame.data) for frame in got).decode() == CREATE


@bounded()
async def test_a_response_that_one_account_keeps_is_continued_there():
    async with echoing() as one, echoing() as other:
        made = {"id": "resp_1", "object": "response", "status": "completed", "output": [MESSAGE]}
        one.answer = other.answer = http(made)
        async with serve_proxy(group_of(one, other)) as proxy:
            body = {"model": "gpt-4.1", "input": "hi"}
            reply = await ask(proxy.port, "/v1/responses", body)
            keeper = {"e0": one, "e1": other}[reply.header("x-llmproxy-endpoint")]
            follow_up = CREATE.replace('"input"', '"previous_response_id": "resp_1", "input"')
            for _ in range(4):
                async with raw_session(proxy.port, "/v1/responses") as session:
                    await session.send(Frame(TEXT, follow_up.encode()))
                    assert (await session.event()).data == follow_up.encode()
                    await session.close()
            unknown = follow_up.replace("resp_1", "resp_of_nobody")
            async with raw_session(proxy.port, "/v1/responses") as session:
                await session.send(Frame(TEXT, unknown.encode()))
                refused = json.loads(bytes((await session.event()).data))
                assert (refused["status"], refused["error"]["code"]) == (404, "unknown_id")
            records = await finished(proxy, 6)
    assert {record.endpoint for record in records[:5]} == {reply.header("x-llmproxy-endpoint")}
    assert len([end for end in keeper.ends if end.protocol.state.name != "CONNECTING"]) == 4


@bounded()
async def test_another_model_in_the_same_session_is_refused_and_not_sent():
    async with realtime_vendor() as vendor, serve_proxy(group_of(vendor)) as proxy:
        async with connect(url(proxy)) as session:
            await session.send(CREATE)
            for _ in range(3):
                await session.recv()
            await session.send(CREATE.replace("gpt-4.1", "dear"))
            refused = json.loads(await session.recv())
            assert (refused["type"], refused["status"]) == ("error", 400)
            assert refused["error"]["code"] == "model_not_in_session"
            await session.send(CREATE)
            assert json.loads(await session.recv())["type"] == "response.created"
    assert vendor.received == [CREATE, CREATE]


@pytest.mark.parametrize(
    ("message", "status", "code"),
    [
        (CREATE.replace("gpt-4.1", "nope"), 404, "model_not_found"),
        ('{"type": "response.create", "model": 1}', 400, "invalid_type"),
    ],
)
@bounded()
async def test_a_first_message_that_cannot_be_served_gets_an_error_event(message, status, code):
    async with realtime_vendor() as vendor, serve_proxy(group_of(vendor)) as proxy:
        async with connect(url(proxy)) as session:
            await session.send(message)
            refused = json.loads(await session.recv())
            assert (refused["status"], refused["error"]["code"]) == (status, code)
            with pytest.raises(ConnectionClosedError):
                await session.recv()
            assert session.close_code == 1008
        (record,) = await finished(proxy)
    assert record.answer.status == status
    assert vendor.requests == []


@bounded()
async def test_an_endpoints_refusal_is_an_event_with_its_own_words():
    refusal = (429, error_body("rate_limit_exceeded", message="Slow down"))
    async with realtime_vendor(refusal=refusal) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            async with connect(url(proxy)) as session:
                await session.send(CREATE)
                refused = json.loads(await session.recv())
                assert refused["status"] == 429
                assert refused["error"]["message"] == "Slow down"
                with pytest.raises(ConnectionClosedError):
                    await session.recv()
                assert session.close_code == 1013


@bounded()
async def test_a_client_whose_group_has_no_websockets_goes_on_over_http():
    async with realtime_vendor(refusal=(404, {"detail": "Not Found"})) as vendor:
        async with serve_proxy(group_of(vendor)) as proxy:
            async with connect(url(proxy)) as session:
                await session.send(CREATE)
                refused = json.loads(await session.recv())
                # Codex opens another connection for this code, and goes on over HTTP after a 426.
                assert refused["error"]["code"] == "websocket_connection_limit_reached"
            with pytest.raises(InvalidStatus) as again:
                async with connect(url(proxy)):
                    pass
            assert again.value.response.status_code == 426
            await finished(proxy, 2)
    assert proxy.events.changes == []  # the endpoint is as healthy as before


@bounded()
async def test_a_client_that_says_nothing_and_leaves_was_no_failure():
    async with realtime_vendor() as vendor, serve_proxy(group_of(vendor)) as proxy:
        async with connect(url(proxy)):
            pass
        (record,) = await finished(proxy)
    assert (record.answer.status, record.answer.error) == (101, None)
    assert record.attempts == 0
