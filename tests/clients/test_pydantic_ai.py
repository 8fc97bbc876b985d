"""pydantic-ai gets through the proxy exactly what it gets from the vendor."""

import asyncio
import json

import openai
import pytest

from tests.clients.calls import CHAT, Weather
from tests.clients.comparing import masked
from tests.support.late import Late

pydantic_ai = Late("pydantic_ai")
exceptions = Late("pydantic_ai.exceptions")
models = Late("pydantic_ai.models.openai")
providers = Late("pydantic_ai.providers.openai")

MODELS = {"chat": "OpenAIChatModel", "responses": "OpenAIResponsesModel"}


class Talk:
    """Agents that talk to one place. Owns their client."""

    def __init__(self, model, place):
        self.client = openai.AsyncOpenAI(
            base_url=place.base_url, api_key="sk-client", max_retries=0, timeout=10
        )
        provider = providers.OpenAIProvider(openai_client=self.client)
        self.model = getattr(models, MODELS[model])(place.model(CHAT), provider=provider)

    def agent(self, **more):
        agent = pydantic_ai.Agent(self.model, **more)

        @agent.tool_plain
        def get_weather(city: str, days: int) -> str:
            return f"{city}: sunny for {days} days"

        return agent


async def _run(talk):
    return _told(await talk.agent().run("Hello, wörld!"))


async def _tools(talk):
    result = await talk.agent().run("Ask get_weather about Paris.")
    assert "sunny" in result.output
    return _told(result)


async def _output_by_tool(talk):
    return _told(await talk.agent(output_type=Weather).run("Hello"))


async def _native_output(talk):
    return _told(await talk.agent(output_type=pydantic_ai.NativeOutput(Weather)).run("Hello"))


async def _conversation(talk):
    agent = talk.agent(instructions="Be brief.")
    first = await agent.run("Hello")
    return _told(await agent.run("And then?", message_history=first.new_messages()))


async def _stream(talk):
    async with talk.agent().run_stream("Hello, wörld!") as result:
        pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
        return [pieces, json.loads(result.all_messages_json())]


async def _streamed_tools(talk):
    async with talk.agent().run_stream("Ask get_weather about Paris.") as result:
        return [await result.get_output(), json.loads(result.all_messages_json())]


async def _streamed_output(talk):
    async with talk.agent(output_type=Weather).run_stream("Hello") as result:
        pieces = [piece async for piece in result.stream_output(debounce_by=None)]
        return [pieces, json.loads(result.all_messages_json())]


async def _refused(talk):
    with pytest.raises(exceptions.ModelHTTPError) as caught:
        settings = {"extra_headers": {"x-simulator-fault": "status:context_length_exceeded"}}
        await talk.agent().run("Hello", model_settings=settings)
    error = caught.value
    return [error.status_code, error.body]


ASKS = {
    "run": _run,
    "tools": _tools,
    "an output by a tool": _output_by_tool,
    "a native output": _native_output,
    "a conversation": _conversation,
    "stream": _stream,
    "streamed tools": _streamed_tools,
    "a streamed output": _streamed_output,
    "a refusal": _refused,
}


def _told(result):
    return [result.output, json.loads(result.all_messages_json()), result.usage]


def _without_own(value):
    """Without what the client adds itself: its clock's times, its address of the model."""
    if isinstance(value, list):
        return [_without_own(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _without_own(item) for key, item in value.items()}
    if "kind" in value or "part_kind" in value:
        for own in ("timestamp", "provider_url", "model_id"):
            kept.pop(own, None)
    return kept


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("model", MODELS)
def test_an_agent_does_the_same_through_the_proxy(model, ask, places):
    async def all_places():
        ends = []
        for place in places.values():
            talk = Talk(model, place)
            async with talk.client:
                ends.append(_without_own(masked(await ASKS[ask](talk))))
        return ends

    direct, *others = asyncio.run(all_places())
    assert direct
    assert others == [direct, direct]
