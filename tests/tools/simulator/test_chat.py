"""Chat as the real OpenAI client sees it."""

import asyncio

import openai
import pydantic
import pytest

from llmproxy.tools.simulator import VendorSettings, serve
from tests.support.background import in_background
from tests.support.run import bounded
from tests.tools.simulator.wires import HELLO, everything, openai_client, request

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                "days": {"type": "integer", "minimum": 2},
            },
            "required": ["city", "unit", "days"],
        },
    },
}
TIME = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object"}}}


class Person(pydantic.BaseModel):
    name: str
    age: int
    friends: list["Person"]
    nickname: str | None


async def streamed(client, **request):
    stream = await client.chat.completions.create(
        model="gpt-4.1", messages=HELLO, stream=True, **request
    )
    return [chunk async for chunk in stream]


def text_of(chunks):
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


@bounded()
async def test_an_answer_repeats_the_question_and_counts_its_tokens():
    async with serve() as vendor, openai_client(vendor) as client:
        answer = await client.chat.completions.create(model="gpt-4.1", messages=HELLO)
    message = answer.choices[0].message
    assert message.role == "assistant"
    assert "Hello, wörld!" in message.content
    assert answer.model == "gpt-4.1"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens == -(-len(message.content) // 4)
    assert answer.usage.prompt_tokens == 3 + 3 + 4  # 13 characters, the message, the conversation
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


@bounded()
async def test_the_same_request_gets_the_same_answer_from_any_vendor_under_any_name():
    texts = set()
    for settings in (VendorSettings(name="a"), VendorSettings(name="b", latency_s=0.01)):
        async with serve(settings) as vendor, openai_client(vendor) as client:
            for model in ("gpt-4.1", "another"):
                answer = await client.chat.completions.create(model=model, messages=HELLO)
                texts.add(answer.choices[0].message.content)
            texts.add(text_of(await streamed(client)))
    assert len(texts) == 1


@bounded()
async def test_a_seed_makes_ids_and_times_repeatable_and_without_one_they_differ():
    async def ids(seed):
        async with serve(VendorSettings(seed=seed)) as vendor, openai_client(vendor) as client:
            answers = [
                await client.chat.completions.create(model="m", messages=HELLO) for _ in range(2)
            ]
        return [(answer.id, answer.created if seed else 0) for answer in answers]

    assert await ids(7) == await ids(7)
    assert len({*await ids(7), *await ids(8), *await ids(None), *await ids(None)}) == 8


@bounded()
async def test_a_stream_begins_with_the_role_and_ends_with_the_reason():
    async with serve() as vendor, openai_client(vendor) as client:
        chunks = await streamed(client)
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert (deltas[0].role, deltas[0].content) == ("assistant", "")
    assert len(deltas) > 10
    assert all(delta.role is None and delta.content for delta in deltas[1:-1])
    assert [chunk.choices[0].finish_reason for chunk in chunks][-2:] == [None, "stop"]
    assert len({chunk.id for chunk in chunks}) == 1


@bounded()
async def test_usage_is_a_last_chunk_only_on_request():
    async with serve() as vendor, openai_client(vendor) as client:
        without = await streamed(client)
        with_usage = await streamed(client, stream_options={"include_usage": True})
    assert all("usage" not in chunk.model_fields_set for chunk in without)
    *rest, last = with_usage
    assert all("usage" in chunk.model_fields_set and chunk.usage is None for chunk in rest)
    assert last.choices == []
    assert last.usage.completion_tokens == len(rest) - 2
    assert text_of(without) == text_of(with_usage)


@bounded()
async def test_a_stream_ends_with_done_on_the_wire():
    body = {"model": "m", "messages": HELLO, "stream": True}
    async with serve() as vendor:
        received, ending = await everything(vendor, request(body=body))
    assert received.endswith(b"\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
    assert ending == "open"


@bounded()
async def test_stream_options_without_a_stream_are_refused():
    async with serve() as vendor, openai_client(vendor) as client:
        with pytest.raises(openai.BadRequestError, match="only allowed when 'stream' is enabled"):
            await client.chat.completions.create(
                model="m", messages=HELLO, stream_options={"include_usage": True}
            )


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@bounded()
async def test_a_token_limit_cuts_the_answer(name):
    async with serve() as vendor, openai_client(vendor) as client:
        answer = await client.chat.completions.create(model="m", messages=HELLO, **{name: 5})
        chunks = await streamed(client, **{name: 5})
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 5
    assert text_of(chunks) == answer.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == "length"


@bounded()
async def test_n_choices_are_whole_and_streamed():
    async with serve() as vendor, openai_client(vendor) as client:
        answer = await client.chat.completions.create(model="m", messages=HELLO, n=3)
        chunks = await streamed(client, n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    finished = [c.choices[0].index for c in chunks if c.choices[0].finish_reason]
    assert finished == [0, 1, 2]


@bounded()
async def test_a_mentioned_tool_is_called_with_arguments_that_satisfy_its_schema():
    question = [{"role": "user", "content": "Please use get_weather for Oslo"}]
    async with serve() as vendor, openai_client(vendor) as client:
        answer = await client.chat.completions.create(
            model="m", messages=question, tools=[TIME, WEATHER]
        )
    choice = answer.choices[0]
    (call,) = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert call.function.name == "get_weather"
    expected = '{"city":"a city","unit":"celsius","days":2}'
    assert call.function.arguments == expected


@bounded()
async def test_a_tool_call_is_streamed_in_pieces_that_join_to_the_whole():
    async with serve() as vendor, openai_client(vendor) as client:
        async with client.chat.completions.stream(
            model="m", messages=HELLO, tools=[WEATHER], tool_choice="required"
        ) as stream:
            pieces = [event async for event in stream if event.type == "chunk"]
            final = await stream.get_final_completion()
    (call,) = final.choices[0].message.tool_calls
    assert call.id.startswith("call_")
    assert call.function.arguments == '{"city":"a city","unit":"celsius","days":2}'
    assert final.choices[0].finish_reason == "tool_calls"
    assert len(pieces) > 8


@bounded()
async def test_several_mentioned_tools_are_called_in_parallel_unless_that_is_forbidden():
    question = [{"role": "user", "content": "get_time and get_weather"}]
    async with serve() as vendor, openai_client(vendor) as client:

        async def names(**more):
            answer = await client.chat.completions.create(
                model="m", messages=question, tools=[TIME, WEATHER], **more
            )
            return [call.function.name for call in answer.choices[0].message.tool_calls or ()]

        assert await names() == ["get_time", "get_weather"]
        assert await names(parallel_tool_calls=False) == ["get_time"]
        assert await names(tool_choice="none") == []
        forced = {"type": "function", "function": {"name": "get_weather"}}
        assert await names(tool_choice=forced) == ["get_weather"]


@bounded()
async def test_after_a_tools_result_the_answer_is_text():
    async with serve() as vendor, openai_client(vendor) as client:
        messages = [{"role": "user", "content": "get_weather please"}]
        first = await client.chat.completions.create(model="m", messages=messages, tools=[WEATHER])
        call = first.choices[0].message
        messages += [
            call.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "17 degrees"},
        ]
        second = await client.chat.completions.create(model="m", messages=messages, tools=[WEATHER])
    assert second.choices[0].finish_reason == "stop"
    assert "17 degrees" in second.choices[0].message.content


@bounded()
async def test_a_required_call_prefers_a_tool_that_was_not_called_yet():
    messages = [
        {"role": "user", "content": "get_weather please"},
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": "{}"},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "17 degrees"},
    ]
    async with serve() as vendor, openai_client(vendor) as client:
        answer = await client.chat.completions.create(
            model="m", messages=messages, tools=[WEATHER, TIME], tool_choice="required"
        )
    assert answer.choices[0].message.tool_calls[0].function.name == "get_time"


@bounded()
async def test_structured_outputs_parse_even_for_a_recursive_type():
    async with serve() as vendor, openai_client(vendor) as client:
        answer = await client.chat.completions.parse(
            model="m", messages=HELLO, response_format=Person
        )
    person = answer.choices[0].message.parsed
    assert isinstance(person, Person)
    assert person.name == "a name"
    assert isinstance(person.friends[0], Person)


@pytest.mark.parametrize("stream", [False, True])
@bounded()
async def test_a_fault_makes_the_answer_a_refusal(stream):
    async with serve() as vendor, openai_client(vendor) as client:
        asked = {
            "model": "m",
            "messages": HELLO,
            "extra_headers": {"x-simulator-fault": "refusal"},
        }
        if stream:
            async with client.chat.completions.stream(**asked) as events:
                answer = await events.get_final_completion()
        else:
            answer = await client.chat.completions.create(**asked)
    assert answer.choices[0].message.refusal == "I'm sorry, but I can't help with that."
    assert not answer.choices[0].message.content


def test_the_synchronous_client_gets_the_same_answers():
    with in_background(serve) as vendor:
        client = openai.OpenAI(base_url=vendor.base_url, api_key="sk-x", max_retries=0)
        whole = client.chat.completions.create(model="m", messages=HELLO)
        stream = client.chat.completions.create(model="m", messages=HELLO, stream=True)
        assert text_of(list(stream)) == whole.choices[0].message.content
        client.close()


BAD = {
    b"{": (400, None, None),
    b'{"model": "m"}': (400, "missing_required_parameter", "messages"),
    b'{"model": "m", "messages": []}': (400, "empty_array", "messages"),
    b'{"model": "m", "messages": 3}': (400, "invalid_type", "messages"),
    b'{"messages": [{"role": "user", "content": "x"}]}': (400, None, None),
    b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "n": 0}': (
        400,
        "invalid_value",
        "n",
    ),
}


@pytest.mark.parametrize("body", BAD)
@bounded()
async def test_a_bad_request_is_refused_in_openais_shape(body):
    async with serve() as vendor, openai_client(vendor) as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.post(
                "/chat/completions",
                cast_to=object,
                content=body,
                options={"headers": {"content-type": "application/json"}},
            )
    error = caught.value
    assert (error.status_code, error.code, error.param) == BAD[body]
    assert error.body.keys() == {"message", "type", "param", "code"}


@pytest.mark.clock
@bounded()
async def test_an_answer_can_be_made_long_and_slow():
    settings = VendorSettings(answer_tokens=100, latency_s=0.1, tokens_per_s=1000, jitter=0.2)
    async with serve(settings) as vendor, openai_client(vendor) as client:
        loop_time = asyncio.get_running_loop().time
        began = loop_time()
        chunks = await streamed(client)
        took = loop_time() - began
    assert len(chunks) == 102
    assert 0.15 < took < 1


@bounded()
async def test_text_completions_come_whole_and_streamed():
    async with serve() as vendor, openai_client(vendor) as client:
        whole = await client.completions.create(model="m", prompt=["one", "two"], max_tokens=8, n=2)
        stream = await client.completions.create(
            model="m", prompt="one", max_tokens=200, stream=True
        )
        chunks = [chunk async for chunk in stream]
    assert [choice.index for choice in whole.choices] == [0, 1, 2, 3]
    assert whole.choices[0].finish_reason == "length"
    assert whole.usage.completion_tokens == 32
    assert "one" in "".join(chunk.choices[0].text for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"
