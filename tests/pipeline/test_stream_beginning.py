"""The beginning of a stream: what is held back, for how long, and when it is the answer."""

from math import inf
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.calls import Patience
from llmproxy.operations import CHAT, EventKind
from llmproxy.operations.sse import split_events
from llmproxy.pipeline.failover.beginning import Holding, StreamBeginning

COMMENT = b": thinking\n\n"
ROLE = b'data: {"choices": [{"delta": {"role": "assistant"}}]}\n\n'
WORD = b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n'
HOLDING = Holding(comments_s=1.0, preamble_s=5.0)


class Client:
    """A waiting client."""

    def __init__(self):
        self.seen = b""

    def show(self, comments):
        self.seen += comments


def beginning(*, once=False, deadline_at=600.0):
    patience = Patience(deadline_at, client=Client())
    call = SimpleNamespace(happens_once=once, deadline_at=deadline_at, patience=patience)
    return StreamBeginning(call, HOLDING), patience.client


def accepted(stream):
    return stream.accepted("a", response=None)


def add(stream, data, now):
    noted = [stream.note(event, CHAT.classify(event), now) for event in stream.add(data)]
    return True in noted or stream.look(now)


def test_content_makes_a_stream_the_answer_and_nothing_is_lost():
    stream, client = beginning()

    assert not add(stream, COMMENT + ROLE[:9], 0.0)
    assert not add(stream, ROLE[9:], 0.1)
    assert add(stream, WORD, 0.2)
    assert stream.held == accepted(stream).held == COMMENT + ROLE + WORD
    assert client.seen == b""
    assert accepted(stream).content_by == 0.0


def test_comments_are_shown_within_seconds_each_once_and_bind_to_nothing():
    stream, client = beginning()

    assert not add(stream, COMMENT, 0.0)
    assert stream.look_at == 1.0
    assert not add(stream, b"\n" + COMMENT, 0.5)
    assert not stream.look(1.0)
    assert client.seen == COMMENT + b"\n" + COMMENT
    assert (stream.held, stream.look_at) == (b"", inf)
    assert not add(stream, COMMENT + b": half", 2.0)
    assert stream.look_at == 3.0
    assert not stream.look(3.0)
    assert client.seen.count(COMMENT) == 3
    assert stream.rest == b": half"
    assert add(stream, b"\n\n" + WORD, 3.5)
    assert stream.held == b": half\n\n" + WORD


def test_a_preamble_is_the_answer_after_five_seconds_with_the_comments_behind_it():
    stream, client = beginning()

    add(stream, ROLE, 10.0)
    add(stream, COMMENT, 12.0)
    assert stream.look_at == 15.0
    assert not stream.look(14.9)
    assert stream.look(15.0)
    assert stream.held == ROLE + COMMENT
    assert client.seen == b""
    assert accepted(stream).content_by == 600.0


def test_what_happens_once_is_the_answer_with_its_first_event_but_not_with_a_comment():
    stream, _ = beginning(once=True)

    assert not add(stream, COMMENT, 0.0)
    assert add(stream, ROLE, 0.1)


@pytest.mark.parametrize("event", [COMMENT, ROLE])
def test_an_impatient_client_is_shown_something_in_time(event):
    stream, _ = beginning(deadline_at=0.8)

    add(stream, event, 0.2)
    assert stream.look_at == pytest.approx(0.5)


def test_a_preamble_without_an_end_is_the_answer():
    stream, _ = beginning()
    events = 64 * 1024 // len(ROLE) + 2

    assert [add(stream, ROLE, 0.0) for _ in range(events)].index(True) == events - 2
    assert stream.note(b"", EventKind.CONTENT, 0.0)


class CountingBeginning(StreamBeginning):
    """A beginning that counts the bytes that are split into events."""

    split_bytes = 0

    def _split(self, buffer):
        self.split_bytes += len(buffer)
        return split_events(buffer)


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_a_long_first_event_in_many_pieces_is_read_once(end):
    line = b"data: word" + end[: len(end) // 2]
    event = line * 20_000 + end[len(end) // 2 :]
    stream = CountingBeginning(beginning()[0]._call, HOLDING)

    pieces = [event[at : at + 100] for at in range(0, len(event), 100)]
    assert [whole for piece in pieces for whole in stream.add(piece)] == [event]
    assert stream.split_bytes <= 2 * len(event)
    assert (stream.held, stream.rest) == (event, b"")


@given(st.lists(st.text("\r\n:ab", max_size=6).map(str.encode), max_size=12))
def test_events_are_the_same_however_the_pieces_come(pieces):
    stream, _ = beginning()
    rest, events = b"", []
    for piece in pieces:
        complete, rest = split_events(rest + piece)
        events += complete
        assert stream.add(piece) == complete
        assert stream.rest == rest
    assert stream.held == b"".join(events) + rest
