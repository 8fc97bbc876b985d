"""Usage is what the upstream counted, or None."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.usage_of_streams import usage_of_stream
from llmproxy.operations import Usage
from llmproxy.operations.usage import usage_of

CHAT = {
    "prompt_tokens": 9,
    "completion_tokens": 12,
    "total_tokens": 21,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
RESPONSES = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 12,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 21,
}
MESSAGES = {
    "input_tokens": 4,
    "cache_creation_input_tokens": 1,
    "cache_read_input_tokens": 4,
    "cache_creation": {"ephemeral_5m_input_tokens": 1},
    "output_tokens": 12,
}


def answer(usage, **more):
    return json.dumps({"id": "x", **more, "usage": usage}).encode()


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (CHAT, Usage(9, 12, 4, reasoning_tokens=3)),
        (RESPONSES, Usage(9, 12, 4, reasoning_tokens=3)),
        (MESSAGES, Usage(9, 12, 4, cache_write_tokens=1)),
        (
            {"prompt_tokens": 9, "completion_tokens": 2, "prompt_cache_hit_tokens": 4},
            Usage(9, 2, 4),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 2, "cached_tokens": 4}, Usage(9, 2, 4)),
        ({"prompt_tokens": 8, "total_tokens": 8}, Usage(8, 0)),
        ({"type": "tokens", "input_tokens": 5, "output_tokens": 6}, Usage(5, 6)),
        ({"prompt_tokens": 1, "completion_tokens": 2, "prompt_tokens_details": None}, Usage(1, 2)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 8,
                "prompt_tokens_details": {"audio_tokens": 5},
                "completion_tokens_details": {"audio_tokens": 6},
            },
            Usage(9, 8, audio_input_tokens=5, audio_output_tokens=6),
        ),
        (
            {"prompt_tokens": 1, "completion_tokens": 2, "prompt_tokens_details": {}},
            Usage(1, 2),
        ),
    ],
)
@pytest.mark.parametrize("size", [0, 100_000])
def test_every_dialects_usage_is_read_from_small_and_big_answers(usage, expected, size):
    assert usage_of(answer(usage, output="x" * size)) == expected
    before = b'{"usage":' + json.dumps(usage).encode() + b',"data":"' + b"x" * size + b'"}'
    assert usage_of(before) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b"{}",
        b'{"usage": null}',
        b'{"usage": {}}',
        b'{"usage": 5}',
        answer({"total_tokens": 7}),
        answer({"completion_tokens": 7}),
        answer({"type": "duration", "seconds": 0}),
        answer({"prompt_tokens": "9", "completion_tokens": 1}),
        answer({"prompt_tokens": -1, "completion_tokens": 1}),
        answer({"prompt_tokens": 1.5, "completion_tokens": 1}),
        answer(CHAT)[:-1],
        b'{"choices": [{"usage": {"prompt_tokens": 1, "completion_tokens": 2}}]}',
    ],
)
def test_what_is_absent_or_strange_is_none(body):
    assert usage_of(body) is None


def test_a_transcription_that_counts_no_tokens_has_its_seconds():
    """As OpenAI's reference shows it for whisper-1."""
    assert usage_of(answer({"type": "duration", "seconds": 3.5})) == Usage(0, 0, seconds=3.5)


def test_a_usage_nested_in_a_big_answer_is_not_the_answers_own():
    nested = [{"usage": {"prompt_tokens": 1, "completion_tokens": 1}, "text": "x" * 1000}] * 40
    assert usage_of(json.dumps({"items": nested}).encode()) is None
    assert usage_of(json.dumps({"usage": CHAT, "items": nested}).encode()) == Usage(
        9, 12, 4, reasoning_tokens=3
    )
    assert usage_of(json.dumps({"items": nested, "usage": CHAT}).encode()) == Usage(
        9, 12, 4, reasoning_tokens=3
    )


def test_a_usage_that_the_model_only_speaks_of_is_not_read():
    spoken = '{"usage": {"prompt_tokens": 1, "completion_tokens": 1}}'
    assert (
        usage_of(json.dumps({"text": spoken, "pad": "x" * 20_000, "end": spoken}).encode()) is None
    )
    assert usage_of_stream(b"data: " + json.dumps({"delta": spoken}).encode() + b"\n\n") is None


def test_a_longer_key_that_ends_in_usage_is_another():
    other = {'my"usage': {"prompt_tokens": 1, "completion_tokens": 1}}
    assert usage_of(json.dumps({"pad": "x" * 20_000, **other}).encode()) is None
    assert usage_of_stream(b"data: " + json.dumps(other).encode() + b"\n\n") is None


def event(**expected):
    return b"data: " + json.dumps(expected).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
DELTA = event(choices=[{"delta": {"content": "x"}}], usage=None)


def test_chats_usage_chunk_is_read():
    stream = DELTA * 3 + event(choices=[], usage=CHAT) + DONE
    assert usage_of_stream(stream) == Usage(9, 12, 4, reasoning_tokens=3)


def test_usage_on_every_chunk_counts_as_the_last_says():
    counted = [
        event(choices=[{}], usage={"prompt_tokens": 9, "completion_tokens": n}) for n in range(40)
    ]
    assert usage_of_stream(b"".join(counted) + DONE) == Usage(9, 39)


@pytest.mark.parametrize("kind", ["response.completed", "response.incomplete"])
def test_a_terminal_response_event_is_read_even_if_the_tail_cuts_it(kind):
    tools = [{"parameters": {"properties": {"usage": {"type": "object"}}}}]
    response = {"output": ["x" * 500], "tools": tools, "usage": RESPONSES, "user": None}
    stream = event(type="response.created", response={"usage": None})
    stream += event(type=kind, response=response)
    for start in range(0, stream.rindex(b'"usage"'), 37):
        assert usage_of_stream(stream[start:]) == Usage(9, 12, 4, reasoning_tokens=3)
    assert usage_of_stream(stream[stream.rindex(b'"usage"') + 1 :]) is None


STARTED = event(
    type="message_start",
    message={"usage": {"input_tokens": 4, "cache_read_input_tokens": 5, "output_tokens": 1}},
)


def test_anthropics_input_may_stand_at_the_start_and_its_output_at_the_end():
    delta = event(type="message_delta", delta={}, usage={"output_tokens": 12})
    stop = event(type="message_stop")
    assert usage_of_stream(STARTED + delta + stop) == Usage(9, 12, 5)
    assert usage_of_stream(delta + stop) is None
    whole = event(type="message_delta", delta={}, usage=MESSAGES)
    assert usage_of_stream(STARTED + whole + stop) == Usage(9, 12, 4, cache_write_tokens=1)


def test_a_message_that_broke_off_has_no_final_usage():
    assert usage_of_stream(STARTED + event(type="content_block_delta")) is None


def test_streams_without_usage_tell_none():
    assert usage_of_stream(b"") is None
    assert usage_of_stream(DELTA * 500 + DONE) is None


def test_a_usage_that_is_cut_off_is_not_read():
    stream = event(choices=[], usage=CHAT)
    end = stream.index(b"}}\n")
    for cut in range(end):
        assert usage_of_stream(stream[:cut]) is None


@given(st.binary(max_size=80) | st.text('"usage":{}promtkens_1,\\ \n', max_size=80).map(str.encode))
def test_nothing_ever_raises(text):
    for read in (usage_of, usage_of_stream):
        assert read(text) is None or isinstance(read(text), Usage)
