"""What a client says of a session for the operator's sums."""

import json

from openai import AsyncOpenAI
from websockets.asyncio.client import connect

from tests.support.groups import group_of
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.websockets.realtime import realtime_vendor
from tests.websockets.waiting_for import finished

HEADERS = {"x-llmproxy-user": "ann", "x-llmproxy-tags": "batch,night"}


@bounded()
async def test_the_headers_of_a_session_label_it():
    async with realtime_vendor() as vendor, serve_proxy(group_of(vendor)) as proxy:
        url = f"ws://127.0.0.1:{proxy.port}/v1/realtime?model=gpt-4.1"
        async with connect(url, additional_headers=HEADERS) as session:
            await session.recv()
        (record,) = await finished(proxy)
    assert (record.request.end_user, record.request.tags) == ("ann", ("batch", "night"))
    assert not [name for name in vendor.requests[0].headers if name.startswith("x-llmproxy-")]


@bounded()
async def test_the_first_message_of_a_responses_session_labels_it():
    async with realtime_vendor() as vendor, serve_proxy(group_of(vendor)) as proxy:
        client = AsyncOpenAI(base_url=proxy.base_url, api_key="sk-client")
        async with client.responses.connect() as connection:
            await connection.response.create(
                model="gpt-4.1", input="hi", safety_identifier="ann", metadata={"tags": "batch"}
            )
            await connection.recv()
        (record,) = await finished(proxy)
    assert (record.request.end_user, record.request.tags) == ("ann", ("batch",))


@bounded()
async def test_labels_that_are_none_break_no_session():
    odd = {"type": "response.create", "model": "gpt-4.1", "user": 7, "metadata": [1], "input": "x"}
    async with realtime_vendor() as vendor, serve_proxy(group_of(vendor)) as proxy:
        async with connect(f"ws://127.0.0.1:{proxy.port}/v1/responses") as session:
            await session.send(json.dumps(odd))
            assert "response.created" in await session.recv()
        (record,) = await finished(proxy)
    assert (record.request.end_user, record.request.tags) == (None, ())
