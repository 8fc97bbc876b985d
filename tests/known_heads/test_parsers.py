"""Parsers that know a head again do with every message what httptools does with it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.known_heads.parsers import (
    KNOWING_PARSERS,
    MAX_UNUSED,
    KnowingParser,
)
from llmproxy.server.request_reader import RequestReader
from llmproxy.streams import PARSERS
from tests.support.examples import examples

HEAD = b"POST /v1/x?a=1 HTTP/1.1\r\nHost: x\r\nX-Id: 1\r\nConnection: keep-alive\r\n"
POST = HEAD + b"Content-Length: 4\r\n\r\nabcd"
INSERTED = [
    *(b"\r\n", b"\n", b"\r", b" ", b"\t", b"\x00", b":", b",", b"0", b"9", b"+", b"\xff", b"close"),
    *(b"\r\nContent-Length: 4", b"\r\nTransfer-Encoding: chunked", b"\r\nExpect: 100-continue"),
    *(
        b"\r\nConnection: close",
        b"\r\nUpgrade: h2c",
        b"GET / HTTP/1.1\r\n\r\n",
        POST,
        b"Host",
        b"1.0",
    ),
]


class Connection:
    """Records what a reader does; its limits, too."""

    max_header_bytes = 300
    max_body_bytes = 50
    flow = None

    def __init__(self, parsers):
        self.seen = []
        self.reader = RequestReader(self, self, self, parsers)

    def request_ready(self, request):
        body, error = request.body, request.body.error
        self.seen.append(
            (
                *(request.method, request.http_version, request.path, request.query),
                *(request.headers, request.keep_alive, request.control, request.from_browser),
                *(body.complete, body.streamed, body.take(), None if error is None else str(error)),
            )
        )

    def request_drained(self, _request):
        self.seen.append("drained")

    def send_continue(self, _request):
        self.seen.append("continue")

    def pause_reading(self):
        self.seen.append("pause")

    def resume_reading(self):
        self.seen.append("resume")

    def is_control_path(self, path):
        return path == b"/livez"

    def feed(self, data):
        """Parse a read as a connection does: nothing is understood after an error."""
        error = self.reader.feed(data)
        if error is not None:
            self.seen.append((error.status, str(error)))
            self.reader.discard(error)
        self.seen.append(self.reader.state.name)


def changed(message, place, length, put):
    place %= len(message)
    return message[:place] + put + message[place + length :]


@given(
    st.lists(
        st.tuples(st.integers(0, 200), st.integers(0, 6), st.sampled_from(INSERTED)), max_size=4
    ),
    st.lists(st.integers(1, 400), max_size=3),
)
@examples(300)
def test_requests_are_read_as_httptools_reads_them(changes, edges):
    reads = [POST, POST.replace(b"Id: 1", b"Id: 2")]
    for place, length, put in changes:
        reads.append(changed(POST, place, length, put))
        reads.append(POST)
    if edges:
        wire = b"".join(reads)
        cuts = [0, *sorted({edge % len(wire) for edge in edges}), len(wire)]
        reads = reads[:2] + [wire[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]
    plain, knowing = Connection(PARSERS), Connection(KNOWING_PARSERS)
    for read in reads:
        plain.feed(read)
        knowing.feed(read)
    assert knowing.seen == plain.seen


@pytest.mark.parametrize("put", INSERTED)
def test_each_change_at_each_place_is_read_as_httptools_reads_it(put):
    for place in range(len(POST)):
        plain, knowing = Connection(PARSERS), Connection(KNOWING_PARSERS)
        for read in (POST, POST, changed(POST, place, 0, put), POST):
            plain.feed(read)
            knowing.feed(read)
        assert knowing.seen == plain.seen, (place, put)


class Counted:
    """A connection, and the parser that it would have without this battery."""

    def __init__(self):
        self.parsed = []
        self.bodies = []
        self.awaits_message = self.has_message = True

    def feed_data(self, data):
        self.parsed.append(data)

    def on_message_begin(self):
        pass

    on_headers_complete = on_message_complete = on_message_begin

    def on_head(self, target, headers):
        pass

    def on_body(self, body):
        self.bodies.append(body)


def test_a_head_that_comes_again_is_not_parsed():
    connection = Counted()
    parser = KnowingParser(connection, connection)
    for body in (b"abcd", b"efgh", b"ijkl"):
        parser.feed_data(POST.replace(b"abcd", body))
    assert connection.parsed == [POST]
    assert connection.bodies == [b"efgh", b"ijkl"]


def test_a_peer_whose_heads_always_differ_is_not_learned_from_for_ever():
    connection = Counted()
    parser = KnowingParser(connection, connection)
    reads = [POST.replace(b"X-Id", b"X-%d" % number) for number in range(MAX_UNUSED + 1)]
    for read in (*reads, reads[-1], POST, POST):
        parser.feed_data(read)
    assert connection.parsed == [*reads, reads[-1], POST, POST]
