"""The Responses API as the real OpenAI client sees it."""

import openai
import pydantic
import pytest

from llmproxy.tools.simulator import VendorSettings, serve
from tests.support.run import bounded
from tests.tools.simulator.wires import openai_client

TOOL = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


class Place(pydantic.BaseModel):
    city: str
    sights: list[str]


async def streamed(client, **request):
    stream = await client.responses.create(
        **{"model": "gpt-4.1", "input": "Hello", "stream": True, **request}
    )
    return [event async for event in stream]


@bounded()
async def test_a_response_comes_whole_with_its_usage():
    async with serve() as vendor, openai_client(vendor) as client:
        response = await client.responses.create(
            model="gpt-4.1", input="Hello", instructions="Be kind.", metadata={"a": "b"}
        )
    assert "“Hello”" in response.output_text
    assert response.status == "completed"
    assert response.instructions == "Be kind."
    assert response.metadata == {"a": "b"}
    assert response.usage.output_tokens == -(-len(response.output_text) // 4)


@bounded()
async def test_a_streamed_response_has_the_events_in_their_order():
    async with serve() as vendor, openai_client(vendor) as client:
        events = await streamed(client)
    kinds = [event.type for event in events]
    deltas = kinds.count("response.output_text.delta")
    assert deltas > 5
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * deltas,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    joined = "".join(event.delta for event in events if event.type.endswith("text.delta"))
    assert joined == events[-1].response.output_text
    assert events[0].response.output == []
    assert events[0].response.status == "in_progress"


@bounded()
async def test_a_function_call_comes_whole_and_in_pieces():
    asked = {"input": "use get_weather", "tools": [TOOL]}
    async with serve() as vendor, openai_client(vendor) as client:
        whole = await client.responses.create(model="m", **asked)
        events = await streamed(client, **asked)
    (call,) = whole.output
    assert (call.type, call.name, call.arguments) == (
        "function_call",
        "get_weather",
        '{"city":"a city"}',
    )
    pieces = [e.delta for e in events if e.type == "response.function_call_arguments.delta"]
    assert "".join(pieces) == call.arguments
    assert events[-1].response.output[0].name == "get_weather"


@bounded()
async def test_a_function_calls_output_is_answered_by_text():
    async with serve() as vendor, openai_client(vendor) as client:
        response = await client.responses.create(
            model="m",
            tools=[TOOL],
            input=[
                {"role": "user", "content": "use get_weather"},
                {
                    "type": "function_call",
                    "call_id": "c",
                    "name": "get_weather",
                    "arguments": "{}",
                },
                {"type": "function_call_output", "call_id": "c", "output": "rain"},
            ],
        )
    assert "rain" in response.output_text


@bounded()
async def test_a_token_limit_makes_a_response_incomplete():
    async with serve() as vendor, openai_client(vendor) as client:
        whole = await client.responses.create(model="m", input="Hello", max_output_tokens=3)
        events = await streamed(client, max_output_tokens=3)
    assert whole.status == "incomplete"
    assert whole.incomplete_details.reason == "max_output_tokens"
    assert events[-1].type == "response.incomplete"


@bounded()
async def test_structured_outputs_parse():
    async with serve() as vendor, openai_client(vendor) as client:
        response = await client.responses.parse(model="m", input="Hello", text_format=Place)
    assert response.output_parsed == Place(city="a city", sights=["a sights"])


@bounded()
async def test_a_refusal_is_streamed_as_refusal_events():
    async with serve() as vendor, openai_client(vendor) as client:
        events = await streamed(client, extra_headers={"x-simulator-fault": "refusal"})
    assert "response.refusal.done" in [event.type for event in events]
    assert events[-1].response.output[0].content[0].type == "refusal"


@bounded()
async def test_a_stored_response_can_be_read_resumed_and_deleted():
    async with serve() as vendor, openai_client(vendor) as client:
        made = await client.responses.create(model="m", input="Hello")
        assert await client.responses.retrieve(made.id) == made
        items = await client.responses.input_items.list(made.id)
        assert items.data[0].content[0].text == "Hello"
        stream = await client.responses.retrieve(made.id, stream=True, starting_after=4)
        resumed = [event async for event in stream]
        assert resumed[0].sequence_number == 5
        assert resumed[-1].type == "response.completed"
        await client.responses.delete(made.id)
        with pytest.raises(openai.NotFoundError, match="not found"):
            await client.responses.retrieve(made.id)


@bounded()
async def test_a_response_id_is_valid_only_at_its_vendor_and_only_if_stored():
    async with serve() as here, serve() as there:
        async with openai_client(here) as client, openai_client(there) as other:
            made = await client.responses.create(model="m", input="Hello")
            await client.responses.create(model="m", input="More", previous_response_id=made.id)
            with pytest.raises(openai.BadRequestError) as caught:
                await other.responses.create(model="m", input="More", previous_response_id=made.id)
            assert caught.value.code == "previous_response_not_found"
            unstored = await client.responses.create(model="m", input="Hello", store=False)
            with pytest.raises(openai.NotFoundError):
                await client.responses.retrieve(unstored.id)


@bounded()
async def test_input_tokens_are_counted_without_an_answer():
    async with serve(VendorSettings()) as vendor, openai_client(vendor) as client:
        counted = await client.responses.input_tokens.count(model="m", input="12345678")
    assert counted.input_tokens == 2 + 3
