"""A stream is cut into the same events, whatever the pieces are that it comes in."""

from time import thread_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.translation.framing import EventCutter
from llmproxy.batteries.translation.languages import LANGUAGES
from llmproxy.operations.sse import split_events

PIECES = st.lists(
    st.text("ab:\r\n", max_size=6).map(str.encode) | st.sampled_from((b"\r\n\r\n", b"\n\n")),
    max_size=12,
)


def said(events):
    return [event.strip(b"\r\n") for event in events if event.strip(b"\r\n")]


@given(PIECES)
def test_pieces_make_the_events_of_the_whole(pieces):
    cutter = EventCutter()
    events = [event for piece in pieces for event in cutter.cut(piece)]
    rest = cutter.take_rest()
    assert b"".join(events) + rest == b"".join(pieces)
    whole, whole_rest = split_events(b"".join(pieces))
    assert said([*events, rest]) == said([*whole, whole_rest])
    assert cutter.take_rest() == b""


def test_a_byte_at_a_time_makes_the_same_events():
    cutter = EventCutter()
    stream = "data: ä\r\n\r\ndata: 😀\n\nevent: x\rdata: y\r\r".encode()
    events = [event for byte in stream for event in cutter.cut(bytes([byte]))]
    assert said(events) == ["data: ä".encode(), "data: 😀".encode(), b"event: x\rdata: y"]


def test_a_long_event_is_read_once_however_small_its_pieces_are():
    def seconds(pieces):
        cutter, before = EventCutter(), thread_time()
        for _ in range(pieces):
            cutter.cut(b"x" * 1400)
        assert len(cutter.cut(b"\n\n")) == 1
        return thread_time() - before

    seconds(100)
    assert seconds(4000) < 200 * max(seconds(200), 0.0005)  # 20 times the pieces; 400 if read anew


@pytest.mark.parametrize(
    ("rest", "events"),
    [
        (b'event: x\ndata: {"a": 1}', [b'event: x\ndata: {"a": 1}']),
        (b'data: {"a": 1}\n', [b'data: {"a": 1}\n']),
        (b'data: {"a": ', []),  # cut
        (b"event: x", []),
        (b"", []),
    ],
)
def test_what_a_stream_ends_with_is_an_event_if_it_is_whole(rest, events):
    cutter = EventCutter()
    cutter.cut(b"data: {}\n\n" + rest)
    assert cutter.rest_as_event() == events
    assert cutter.take_rest() == b""


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)
def test_an_event_that_is_cut_by_the_end_of_its_stream_says_nothing(language):
    reader = language.event_reader()
    assert reader.read(b'data: {"type": "message_st') == []
    assert reader.read(b"") == []
