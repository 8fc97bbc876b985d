"""Whatever an endpoint sends, its stream is read, and written in whole events; nothing raises."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.translation.hub import Question
from llmproxy.batteries.translation.languages import LANGUAGES
from llmproxy.operations.sse import split_events

WORDS = st.sampled_from(
    (
        *("type", "delta", "index", "choices", "content", "tool_calls", "function", "arguments"),
        *("id", "name", "text", "finish_reason", "usage", "error", "message", "content_block"),
        *("response", "item", "output", "summary", "part", "stop_reason", "reasoning_content"),
    )
)
TEXTS = st.sampled_from(
    (
        *("message_start", "content_block_start", "content_block_delta", "content_block_stop"),
        *("message_delta", "message_stop", "ping", "error", "text", "tool_use", "thinking"),
        *("text_delta", "input_json_delta", "stop", "tool_calls", "response.created", "[DONE]"),
        *("response.output_item.added", "response.output_text.delta", "response.completed", "x"),
    )
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=10,
)
EVENTS = st.builds(
    lambda value, kind: b"".join(
        (
            b"" if kind is None else b"event: " + kind.encode() + b"\n",
            b"data: " + json.dumps(value).encode() + b"\n\n",
        )
    ),
    st.dictionaries(WORDS, VALUES, max_size=5),
    st.none() | TEXTS,
)
STREAMS = st.lists(EVENTS | st.binary(max_size=12) | st.just(b"data: [DONE]\n\n"), max_size=8)


@pytest.mark.parametrize("source", LANGUAGES)
@given(pieces=STREAMS)
def test_no_stream_is_too_strange(source, pieces):
    reader = LANGUAGES[source].event_reader()
    events = [event for piece in (*pieces, b"") for event in reader.read(piece)]
    for name in LANGUAGES.keys() - {source}:
        written = LANGUAGES[name].event_writer(Question(stream=True)).write(events)
        assert split_events(written)[1] == b""
