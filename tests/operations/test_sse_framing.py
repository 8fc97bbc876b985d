"""Where events end, at every split; and whether a stream said that it ended."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.operations import CHAT, MESSAGES, OPAQUE, RESPONSES
from llmproxy.operations.sse import complete_length, split_events

PIECES = st.sampled_from(["\n", "\r", "\r\n", "\n\n", "\r\n\r\n", "data: x", ": c", "e", ""])
STREAMS = st.lists(PIECES, max_size=14).map(lambda pieces: "".join(pieces).encode())


def lines_ends(text):
    """Offsets behind every line end: the specification's reading, one character at a time."""
    ends, at = [], 0
    while at < len(text):
        if text[at : at + 2] == b"\r\n":
            at += 2
            ends.append(at)
        elif text[at : at + 1] in (b"\r", b"\n"):
            at += 1
            ends.append(at)
        else:
            at += 1
    return ends


def blank_line_ends(text):
    ends = [0, *lines_ends(text)]
    blank = (b"\n", b"\r", b"\r\n")
    return [end for start, end in itertools.pairwise(ends) if text[start:end] in blank]


@given(STREAMS)
def test_the_complete_part_ends_with_the_last_blank_line(stream):
    assert complete_length(stream) == max(blank_line_ends(stream), default=0)


@given(STREAMS)
def test_events_and_the_rest_are_the_stream(stream):
    events, rest = split_events(stream)
    assert b"".join(events) + rest == stream
    assert sum(map(len, events)) == complete_length(stream)
    assert all(events)


@given(STREAMS, st.data())
def test_events_mean_the_same_however_the_stream_arrives(stream, data):
    whole = [
        text_of_event
        for event in split_events(stream)[0]
        if (text_of_event := event.strip(b"\r\n"))
    ]
    rest, arrived = b"", []
    start = 0
    for cut in [*sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5))), len(stream)]:
        events, rest = split_events(rest + stream[start:cut])
        arrived += [text_of_event for event in events if (text_of_event := event.strip(b"\r\n"))]
        start = cut
    assert arrived == whole
    assert rest.strip(b"\r\n") == split_events(stream)[1].strip(b"\r\n")


@pytest.mark.parametrize(
    ("buffer", "length"),
    [
        (b"", 0),
        (b"data: a", 0),
        (b"data: a\n", 0),
        (b"data: a\n\n", 9),
        (b"data: a\n\ndata: b\n", 9),
        (b"data: a\r\n\r\ndata: b\r\n", 11),
        (b"data: a\r\rx", 9),
        (b"data: a\r\n", 0),
        (b"data: a\n\r\nx", 10),
        (b"data: a\n\n\n\nx", 11),
        (b"\ndata: a", 1),
        (b"\r\ndata: a", 2),
    ],
)
def test_line_ends_may_be_mixed(buffer, length):
    assert complete_length(buffer) == length


def test_events_keep_their_terminators():
    assert split_events(b": c\n\ndata: a\r\n\r\ndata: b\n") == (
        [b": c\n\n", b"data: a\r\n\r\n"],
        b"data: b\n",
    )


CHAT_CHUNK = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'
DELTA = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta"}\n\n'
COMPLETED = b'event: response.completed\ndata: {"type":"response.completed","response":{}}\n\n'
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
PING = b'event: ping\ndata: {"type":"ping"}\n\n'


@pytest.mark.parametrize(
    ("dialect", "tail"),
    [
        (CHAT, CHAT_CHUNK + b"data: [DONE]\n\n"),
        (CHAT, CHAT_CHUNK + b"data:[DONE]\r\n\r\n"),
        (CHAT, CHAT_CHUNK + b"data: [DONE]"),
        (CHAT, CHAT_CHUNK + b"data: [DONE]\n\n: bye\n\n"),
        (CHAT, CHAT_CHUNK + b'data: {"error":{"message":"x"}}\n\n'),
        (RESPONSES, DELTA + COMPLETED),
        (RESPONSES, DELTA + COMPLETED.replace(b"completed", b"incomplete")),
        (RESPONSES, DELTA + COMPLETED.replace(b"completed", b"failed")),
        (RESPONSES, DELTA + b'event: error\ndata: {"type":"error"}\n\n'),
        (RESPONSES, b'data: {"type":"response.completed"}\n\n'),
        (MESSAGES, STOP),
        (MESSAGES, b'cut}\n\nevent: error\ndata: {"type":"error"}\n\n'),
        (OPAQUE, b"anything"),
    ],
)
def test_a_stream_that_tells_its_end_is_complete(dialect, tail):
    assert dialect.is_complete(tail)


@pytest.mark.parametrize(
    ("dialect", "tail"),
    [
        (CHAT, b""),
        (CHAT, CHAT_CHUNK),
        (CHAT, CHAT_CHUNK.replace(b'"x"', b'"data: [DONE]"')),
        (CHAT, b'data: {"choices":[{"finish_reason":null,"delta":{}}]}\n\n'),
        (CHAT, b"data: [DO"),
        (RESPONSES, DELTA),
        (RESPONSES, DELTA + COMPLETED[:-20]),
        (RESPONSES, DELTA + b"data: [DO"),
        (MESSAGES, PING),
        (MESSAGES, STOP + PING * 5),
    ],
)
def test_a_stream_that_just_stops_is_not(dialect, tail):
    assert not dialect.is_complete(tail)


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter", "new"])
def test_a_chat_with_a_finish_reason_is_complete_without_done(reason):
    chunk = b'data: {"choices":[{"delta":{},"finish_reason":"%s"}]}\n\n' % reason.encode()
    assert CHAT.is_complete(CHAT_CHUNK + chunk)
    assert CHAT.is_complete(CHAT_CHUNK + chunk.replace(b":", b" : "))
    assert not RESPONSES.is_complete(chunk)
    assert not MESSAGES.is_complete(chunk)


def test_a_completed_response_that_is_longer_than_the_tail_is_known_by_its_usage():
    text = b'lo","annotations":[]}]}],"tools":[],"usage":'
    text_of_event = text + b'{"input_tokens":1,"output_tokens":2},"user":null}}\n\n'
    assert RESPONSES.is_complete(text_of_event)
    assert not RESPONSES.is_complete(text + b"null}}\n\n")
    spoken = b'lo \\"usage\\":{\\"input_tokens\\":1}"}\n\n'
    assert not RESPONSES.is_complete(spoken)
