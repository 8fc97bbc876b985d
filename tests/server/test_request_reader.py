"""The reading half of a connection without a socket: bytes in, states and requests out."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.errors import ClientError
from llmproxy.server.request_reader import ReadState, RequestReader
from tests.support.run import bounded

GET = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST /v1/x?a=1 HTTP/1.1\r\nHost: x\r\ncontent-length: 4\r\n\r\n"
UPLOAD = (
    b"POST /v1/files HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data\r\n"
    b"content-length: 600000\r\n\r\n"
)


class FakeFlow:
    def __init__(self):
        self.paused = False

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False


class FakeConnection:
    """Records what the reader reports, and is its limits, too."""

    max_header_bytes = 1000
    max_body_bytes = 50

    def __init__(self):
        self.ready = []
        self.drained = []
        self.continued = []
        self.flow = FakeFlow()
        self.reader = RequestReader(self, self.flow, self)

    def request_ready(self, request):
        self.ready.append(request)

    def request_drained(self, request):
        self.drained.append(request)

    def send_continue(self, request):
        self.continued.append(request)

    def is_control_path(self, path):
        return path == b"/livez"


@given(st.lists(st.integers(1, len(GET + POST + b"abcd")), max_size=6))
def test_requests_are_the_same_however_their_bytes_are_split(edges):
    wire = GET + POST + b"abcd"
    connection = FakeConnection()
    start = 0
    for end in sorted({*edges, len(wire)}):
        assert connection.reader.feed(wire[start:end]) is None
        start = end
    first, second = connection.ready
    assert (first.method, first.path, first.control) == ("GET", b"/livez", True)
    assert (second.method, second.path, second.query) == ("POST", b"/v1/x", b"a=1")
    assert second.headers == [(b"host", b"x"), (b"content-length", b"4")]
    assert second.body.take() == b"abcd"
    assert connection.reader.state is ReadState.IDLE


def test_the_state_follows_a_request():
    connection = FakeConnection()
    states = []
    for piece in (POST[:10], POST[10:], b"ab", b"cd"):
        connection.reader.feed(piece)
        states.append(connection.reader.state.name)
    assert states == ["HEAD", "BODY", "BODY", "IDLE"]


def test_the_rest_of_a_body_that_was_answered_early_is_thrown_away():
    connection = FakeConnection()
    connection.reader.feed(POST + b"ab")
    request = connection.reader.request
    connection.reader.answered_early(1.0)
    assert connection.reader.state is ReadState.DRAIN
    connection.reader.feed(b"cd" + GET)
    assert connection.drained == [request]
    assert request.body.take() == b""
    assert [ready.method for ready in connection.ready] == ["GET"]


def test_after_an_error_nothing_is_parsed():
    connection = FakeConnection()
    error = connection.reader.feed(b"not HTTP\r\n\r\n")
    assert error.status == 400
    connection.reader.discard(error)
    assert connection.reader.feed(GET) is None
    assert connection.reader.state is ReadState.DISCARD
    assert not connection.ready


def test_a_head_is_refused_for_its_size_whether_or_not_it_is_complete():
    connection = FakeConnection()
    error = connection.reader.feed(b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 1000)
    assert error.status == 431
    connection = FakeConnection()
    connection.reader.feed(b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 1000 + b"\r\n\r\n")
    assert connection.ready[0].body.error.status == 431


CHUNKED = b"POST /v1/x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n"
FORM = CHUNKED.replace(b"host: x", b"host: x\r\ncontent-type: multipart/form-data")
ENDLESS = {
    "trailers": (b"0\r\n", b"a:b\r\n" * 20),
    "one trailer's value": (b"0\r\na: ", b"b" * 100),
    "one trailer's name": (b"0\r\n", b"b" * 100),
    "the extension of a chunk": (b"2;x=", b"y" * 100),
    "the extension of the last chunk": (b"0;x=", b"y" * 100),
}


@pytest.mark.parametrize("head", [CHUNKED, FORM])
@pytest.mark.parametrize("what", ENDLESS)
def test_what_follows_a_body_without_an_end_is_refused_at_the_bound_of_a_head(what, head):
    beginning, more = ENDLESS[what]
    connection = FakeConnection()
    errors = [connection.reader.feed(head + beginning)]
    while errors[-1] is None and len(errors) < 20:
        errors.append(connection.reader.feed(more))
    assert errors[-1].status == 431
    assert len(errors) <= 12  # 1,000 bytes, in pieces of 100
    assert connection.reader._headers == []


def test_trailers_are_dropped_and_small_ones_change_nothing():
    connection = FakeConnection()
    wire = CHUNKED + b"0\r\n" + b"a: b\r\n" * 50 + b"\r\n" + GET
    assert connection.reader.feed(wire) is None
    assert [request.body.error for request in connection.ready] == [None, None]
    assert connection.ready[1].headers == [(b"host", b"x")]


def test_small_chunks_never_count_as_trailers():
    connection = FakeConnection()
    connection.max_body_bytes = 5000
    connection.reader.feed(CHUNKED)
    for _ in range(1000):
        assert connection.reader.feed(b"1;ext=1\r\na\r\n") is None


def test_a_long_body_in_the_same_read_does_not_count_as_head():
    connection = FakeConnection()
    connection.max_body_bytes = 5000
    head = POST.replace(b"length: 4", b"length: 4000")
    connection.reader.feed(head + b"a" * 4000)
    assert connection.ready[0].body.error is None


@pytest.mark.parametrize(
    "wire",
    [
        POST.replace(b"length: 4", b"length: 51"),
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n33\r\n" + b"a" * 51,
    ],
)
def test_a_body_above_the_limit_is_refused_before_it_is_complete(wire):
    connection = FakeConnection()
    connection.reader.feed(wire)
    assert connection.ready[0].body.error.status == 413
    assert connection.ready[0].keep_alive


def test_a_client_that_asks_is_told_to_send_its_body_unless_it_is_refused():
    expecting = POST.replace(b"Host", b"expect: 100-continue\r\nHost")
    connection = FakeConnection()
    connection.reader.feed(expecting)
    assert connection.continued == [connection.reader.request]
    connection = FakeConnection()
    connection.reader.feed(expecting.replace(b"length: 4", b"length: 99"))
    assert not connection.continued


@bounded()
async def test_an_upload_stops_the_reading_until_the_call_has_read_it():
    connection = FakeConnection()
    connection.reader.feed(UPLOAD)
    body = connection.ready[0].body
    reading = asyncio.ensure_future(body.read())
    await asyncio.sleep(0)
    connection.reader.feed(b"a" * 300_000)
    assert connection.flow.paused
    assert await reading == b"a" * 300_000
    assert not connection.flow.paused
    connection.reader.feed(b"a" * 300_000)
    assert await body.read() == b"a" * 300_000
    assert await body.read() == b""


@bounded()
async def test_an_upload_whose_client_leaves_fails_after_what_has_arrived():
    connection = FakeConnection()
    connection.reader.feed(UPLOAD + b"abc")
    connection.reader.close()
    body = connection.ready[0].body
    assert await body.read() == b"abc"
    with pytest.raises(ClientError, match="closed the connection"):
        await body.read()
