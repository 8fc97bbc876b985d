"""What the Responses API can say comes back the same: questions, answers, streams."""

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.translation.hub import Destination, Question, Thinking
from llmproxy.batteries.translation.responses.language import RESPONSES_LANGUAGE
from llmproxy.batteries.translation.responses.sealed import unseal
from tests.translation.responses.values import answers, questions, told
from tests.translation.streams import answer_of, events_of, read_in_pieces

RESPONSES = RESPONSES_LANGUAGE

OPENAI = Destination(provider="openai", model=None, max_output_tokens=4096)


def without_paths(value):
    """Return a value of the hub in which nothing says where it stood."""
    if isinstance(value, msgspec.Struct):
        changes = {name: without_paths(getattr(value, name)) for name in value.__struct_fields__}
        if "path" in changes:
            changes["path"] = ""
        if "paths" in changes:
            changes["paths"] = {}
        return type(value)(**changes)
    if isinstance(value, msgspec.Raw):
        return json.loads(bytes(value))
    if isinstance(value, tuple):
        return tuple(map(without_paths, value))
    if isinstance(value, dict):
        return {name: without_paths(inside) for name, inside in value.items()}
    return value


@given(questions)
def test_a_question_comes_back_as_it_was_written(question):
    written = RESPONSES.write_question(question, OPENAI)
    again = RESPONSES.read_question(written.body)
    assert without_paths(again) == without_paths(question)


def unsealed(answer):
    """Return an answer with the thinking that its client gives back, and no time."""
    parts = [
        unseal(part.encrypted) if isinstance(part, Thinking) else part for part in answer.parts
    ]
    return msgspec.structs.replace(answer, parts=tuple(parts), created=None)


@given(answers)
def test_a_whole_answer_comes_back_as_it_was_written(answer):
    read = RESPONSES.read_answer(RESPONSES.write_answer(answer, Question()))
    assert unsealed(read) == answer


@given(answers, st.integers(1, 5), st.integers(1, 400))
def test_a_stream_says_what_the_whole_answer_says_at_any_split_of_its_bytes(answer, pieces, step):
    writer, reader = RESPONSES.event_writer(Question()), RESPONSES.event_reader()
    stream = b"".join(writer.write([event]) for event in events_of(answer, pieces))
    events = read_in_pieces(reader, stream, step)
    assert unsealed(answer_of(events)) == answer
    whole = json.loads(RESPONSES.write_answer(answer, Question()))
    assert told(stream)[-1]["response"] == whole


@given(answers, st.integers(1, 5))
def test_every_event_has_its_place(answer, pieces):
    writer = RESPONSES.event_writer(Question())
    events = told(writer.write(events_of(answer, pieces)))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    output = events[-1]["response"]["output"]
    done = [event for event in events if event["type"] == "response.output_item.done"]
    added = [event for event in events if event["type"] == "response.output_item.added"]
    assert [event["item"] for event in done] == output
    assert [event["output_index"] for event in added] == list(range(len(output)))
    assert [event["item"]["id"] for event in added] == [item["id"] for item in output]
    for event in events:
        if "item_id" in event:
            assert event["item_id"] == output[event["output_index"]]["id"]
