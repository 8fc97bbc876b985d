"""The OpenAI client gets from two llama.cpp servers through the proxy what it gets from each."""

import itertools
import json
import time

import openai
import pytest
from pydantic import BaseModel

from tests.e2e.asking import (
    CHAT_TOOL,
    EXACT,
    IN_PARIS,
    RESPONSES_TOOL,
    SEEN_ONCE,
    SEEN_ONCE_AS_ITEMS,
    STORY,
    asked_for_weather,
    client_of,
    endpoint_of,
    tell,
)
from tests.e2e.servers import GROUP

LLAMA_KEEPS_CONNECTIONS_S = 5


@pytest.fixture(scope="module")
def through(proxy):
    return client_of(f"{proxy}/v1")


@pytest.fixture(scope="module")
def directly(servers):
    return client_of(servers[0].base_url)


def endpoints_of_two_calls(through):
    return {
        endpoint_of(
            through.chat.completions.with_raw_response.create(
                model=GROUP, messages=STORY, max_tokens=1
            )
        )
        for _ in range(2)
    }


def test_both_servers_answer_in_turn_and_say_what_they_say_directly(through, servers):
    direct = {server.name: tell(client_of(server.base_url)) for server in servers}
    seen = set()
    for _ in servers:
        raw = through.chat.completions.with_raw_response.create(
            model=GROUP, messages=STORY, max_tokens=24, **EXACT
        )
        answer, name = raw.parse(), endpoint_of(raw)
        seen.add(name)
        assert answer.choices == direct[name].choices
        assert answer.usage == direct[name].usage
        assert answer.usage.completion_tokens == 24
    assert seen == {"first", "second"}


def test_fields_that_openai_does_not_know_pass_both_ways(through):
    for _ in range(4):  # each server twice: the second time it could reuse the prompt
        assert tell(through).timings["cache_n"] == 0


def test_a_stream_arrives_while_the_model_still_writes(through, directly):
    whole = tell(directly, max_tokens=80).choices[0].message.content
    began = time.monotonic()
    pieces, moments = [], []
    for chunk in tell(through, max_tokens=80, stream=True, stream_options={"include_usage": True}):
        if chunk.choices and chunk.choices[0].delta.content:
            pieces.append(chunk.choices[0].delta.content)
            moments.append(time.monotonic() - began)
        last = chunk
    assert "".join(pieces) == whole
    assert last.usage.completion_tokens == 80
    assert len(pieces) > 60
    # One piece per token, each when it was made: none came late together with many others.
    longest_silence = max(later - sooner for sooner, later in itertools.pairwise(moments))
    assert longest_silence < (moments[-1] - moments[0]) / 2
    assert moments[0] < moments[-1] / 2


def test_a_parsed_output_is_of_the_type_asked_for(through):
    class City(BaseModel):
        name: str
        country: str

    answer = through.chat.completions.parse(
        model=GROUP,
        messages=[{"role": "user", "content": "Paris is a city in which country?"}],
        response_format=City,
        temperature=0,
        max_tokens=60,
    )
    assert isinstance(answer.choices[0].message.parsed, City)


def test_the_model_calls_a_tool_and_uses_its_answer(through):
    """The server takes `tool_choice` as a word only; one that names a function counts as "auto"."""
    asked = through.chat.completions.create(
        model=GROUP,
        messages=[*SEEN_ONCE, IN_PARIS],
        tools=[CHAT_TOOL],
        tool_choice="required",
        max_tokens=60,
        **EXACT,
    ).choices[0]
    assert asked.finish_reason == "tool_calls"
    (call,) = asked.message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Paris"}

    result = {"role": "tool", "tool_call_id": "call_2", "content": "23 degrees"}
    answer = through.chat.completions.create(
        model=GROUP,
        messages=[*SEEN_ONCE, IN_PARIS, asked_for_weather("Paris", 2), result],
        tools=[CHAT_TOOL],
        max_tokens=60,
        **EXACT,
    )
    assert "23" in answer.choices[0].message.content


def test_a_streamed_tool_call_comes_in_pieces_that_fit(through):
    with through.chat.completions.stream(
        model=GROUP,
        messages=[*SEEN_ONCE, IN_PARIS],
        tools=[CHAT_TOOL],
        tool_choice="required",
        max_tokens=60,
        **EXACT,
    ) as stream:
        pieces = [event for event in stream if event.type == "tool_calls.function.arguments.delta"]
        (call,) = stream.get_final_completion().choices[0].message.tool_calls
    assert len(pieces) > 1
    assert json.loads("".join(piece.arguments_delta for piece in pieces)) == {"city": "Paris"}
    assert json.loads(call.function.arguments) == {"city": "Paris"}


def test_responses_answer_as_they_do_directly(through, directly):
    ask = {
        "model": GROUP,
        "instructions": "Answer in one sentence.",
        "input": "What is a lighthouse?",
        "max_output_tokens": 40,
        **EXACT,
    }
    answer = through.responses.create(**ask)
    assert answer.status == "completed"
    assert answer.output_text == directly.responses.create(**ask).output_text
    assert answer.usage.output_tokens > 1


def test_responses_stream_their_events_in_order(through, directly):
    ask = {"model": GROUP, "input": "What is a lighthouse?", "max_output_tokens": 40, **EXACT}
    events = list(through.responses.create(**ask, stream=True))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert kinds == [event.type for event in directly.responses.create(**ask, stream=True)]
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert text
    assert events[-1].response.output_text == text


def test_responses_call_a_tool(through):
    answer = through.responses.create(
        model=GROUP,
        input=[*SEEN_ONCE_AS_ITEMS, IN_PARIS],
        tools=[RESPONSES_TOOL],
        tool_choice="required",
        max_output_tokens=60,
        **EXACT,
    )
    (call,) = [item for item in answer.output if item.type == "function_call"]
    assert call.name == "get_weather"
    assert json.loads(call.arguments) == {"city": "Paris"}


REFUSED = {
    "a prompt longer than the context": lambda client: client.chat.completions.create(
        model=GROUP, messages=[{"role": "user", "content": "on and " * 2000}]
    ),
    "a number that is not a number": lambda client: tell(client, max_tokens="many"),
    "embeddings, for which the servers were not started": lambda client: client.embeddings.create(
        model=GROUP, input="a lighthouse"
    ),
    "a path that llama.cpp does not have": lambda client: client.moderations.create(
        model=GROUP, input="a lighthouse"
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_refusal_comes_back_unchanged_and_costs_no_endpoint(what, through, directly):
    with pytest.raises(openai.APIStatusError) as said_directly:
        REFUSED[what](directly)
    with pytest.raises(openai.APIStatusError) as said_through:
        REFUSED[what](through)
    assert type(said_through.value) is type(said_directly.value)
    assert said_through.value.status_code == said_directly.value.status_code
    assert said_through.value.response.content == said_directly.value.response.content
    assert said_through.value.response.headers["x-llmproxy-error-source"] == "upstream"
    assert said_through.value.response.headers["x-llmproxy-attempts"] == "1"
    assert endpoints_of_two_calls(through) == {"first", "second"}


def test_an_answer_to_an_earlier_response_is_refused_by_us_before_it_reaches_the_wrong_server(
    through,
):
    with pytest.raises(openai.APIStatusError) as said:
        through.responses.create(model=GROUP, input="And?", previous_response_id="resp_1")
    assert (said.value.status_code, said.value.code) == (404, "unknown_id")
    assert said.value.response.headers["x-llmproxy-error-source"] == "proxy"


def test_connections_that_the_servers_closed_meanwhile_cost_no_attempt(through):
    assert endpoints_of_two_calls(through) == {"first", "second"}
    time.sleep(LLAMA_KEEPS_CONNECTIONS_S + 0.5)
    for _ in range(2):
        raw = through.chat.completions.with_raw_response.create(
            model=GROUP, messages=STORY, max_tokens=1
        )
        assert raw.headers["x-llmproxy-attempts"] == "1"
