"""Parsing of responses: the split of the bytes does not matter, and a malformed response is an
UpstreamFailed. It never hangs, and never leaves bytes for the next call."""

import asyncio
import itertools
from time import monotonic

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmproxy.calls import Outgoing
from llmproxy.errors import UpstreamFailed
from llmproxy.upstream.connection import UpstreamConnection
from tests.support.examples import examples

GET = Outgoing(b"GET", b"/", b"host: x\r\n", b"")


class WireEnd(asyncio.Transport):
    """A transport that records what is written."""

    def __init__(self):
        super().__init__()
        self.written = b""
        self.aborted = False

    def write(self, data):
        self.written += bytes(data)

    def abort(self):
        self.aborted = True

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


class Wire:
    """One connection with a fake transport, and its owner."""

    def __init__(self):
        self.idle = []
        self.end = WireEnd()
        self.connection = UpstreamConnection(asyncio.get_running_loop(), self)
        self.connection.connection_made(self.end)

    def became_idle(self, connection):
        self.idle.append(connection)

    def was_closed(self, connection):
        pass

    async def read(self, pieces, *, outgoing=GET, then="eof"):
        """Send a request, feed the pieces, then lose the connection (unless `then` is open)."""
        reading = asyncio.ensure_future(self._whole(outgoing))
        await asyncio.sleep(0)
        for piece in pieces:
            if not self.end.aborted:
                self._deliver(piece)
            await asyncio.sleep(0)
        if then == "eof" and not self.end.aborted:
            self.connection.connection_lost(None)
        elif then == "reset" and not self.end.aborted:
            self.connection.connection_lost(ConnectionResetError())
        return await asyncio.wait_for(reading, 5)

    def _deliver(self, piece):
        """Deliver bytes as an event loop does: as many as fit into the connection's buffer."""
        while piece and not self.end.aborted:
            buffer = self.connection.get_buffer(-1)
            part, piece = piece[: len(buffer)], piece[len(buffer) :]
            buffer[: len(part)] = part
            self.connection.buffer_updated(len(part))

    async def _whole(self, outgoing):
        until = monotonic() + 3
        response = await self.connection.exchange(outgoing, until=until)
        try:
            body = b""
            while chunk := await response.chunk(until):
                body += chunk
            return response.status, response.headers, body
        finally:
            response.close()


def cut(data, places):
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges) if a != b]


def chunked(body, sizes):
    out, at = b"", 0
    for size in sizes:
        part = body[at : at + size]
        if part:
            out += b"%x\r\n%b\r\n" % (len(part), part)
        at += size
    if body[at:]:
        out += b"%x\r\n%b\r\n" % (len(body[at:]), body[at:])
    return out + b"0\r\n\r\n"


header_names = st.sampled_from(
    [b"X-A", b"x-request-id", b"Set-Cookie", b"x-ratelimit-limit-tokens"]
)
header_values = st.text(
    st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20
).map(str.encode)


@st.composite
def responses(draw):
    """Draw (bytes on the wire, status, headers, body, whether EOF ends the body)."""
    status = draw(st.sampled_from([200, 201, 400, 429, 500, 503, 599]))
    headers = draw(st.lists(st.tuples(header_names, header_values), max_size=6))
    body = draw(st.binary(max_size=400))
    framing = draw(st.sampled_from(["length", "chunked", "close"]))
    if framing == "length":
        headers = [*headers, (b"Content-Length", b"%d" % len(body))]
        payload = body
    elif framing == "chunked":
        headers = [*headers, (b"Transfer-Encoding", b"chunked")]
        payload = chunked(body, draw(st.lists(st.integers(1, 60), max_size=8)))
    else:
        payload = body
    early = draw(st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n"]))
    if draw(st.booleans()):
        early += b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    wire = early + b"HTTP/1.1 %d Whatever\r\n%b\r\n" % (status, lines) + payload
    lowered = [(name.lower(), value) for name, value in headers]
    return wire, status, lowered, body, framing == "close"


@given(responses(), st.lists(st.integers(0, 2000), max_size=12))
@examples(200)
def test_any_split_of_any_response_gives_the_same_result(response, places):
    wire, status, headers, body, ends_with_connection = response

    async def run():
        line = Wire()
        then = "eof" if ends_with_connection else "open"
        result = await line.read(cut(wire, places), then=then)
        return result, bool(line.idle)

    result, kept = asyncio.run(run())
    assert result == (status, headers, body)
    assert kept is not ends_with_connection


@pytest.mark.parametrize("body", [b"hello world", b""])
def test_a_response_may_arrive_byte_by_byte(body):
    wire = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunked(body, [3, 3])

    async def run():
        return await Wire().read([wire[i : i + 1] for i in range(len(wire))], then="open")

    assert asyncio.run(run())[2] == body


OK = b"HTTP/1.1 200 OK\r\n"
BROKEN = {
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "HTTP/2": b"HTTP/2 200\r\ncontent-length: 0\r\n\r\n",
    "a status of letters": b"HTTP/1.1 abc OK\r\ncontent-length: 0\r\n\r\n",
    "length and chunked": OK
    + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "two lengths that differ": OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    "a negative length": OK + b"content-length: -1\r\n\r\n",
    "a chunk size of letters": OK + b"transfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "a chunk longer than its size": OK
    + b"transfer-encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
    "an unsupported transfer coding": OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a switch of protocols": b"HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    "a head without end": OK + b"x: " + b"a" * 300_000,
    "a NUL in a header": OK + b"x: a\0b\r\ncontent-length: 0\r\n\r\n",
    "nothing": b"",
    "half a head": OK + b"content-le",
    "half a body": OK + b"content-length: 10\r\n\r\nhello",
    "half a chunked body": OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
}


@pytest.mark.parametrize("how", ["eof", "reset"])
@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("step", [1, 7, 10**6])
def test_a_malformed_or_incomplete_response_is_an_upstream_failure(what, how, step):
    wire = BROKEN[what]
    if len(wire) > 10_000:
        step = max(step, 1000)
    pieces = [wire[i : i + step] for i in range(0, len(wire), step)]

    async def run():
        line = Wire()
        with pytest.raises(UpstreamFailed):
            await line.read(pieces, then=how)
        assert not line.idle
        assert line.connection.closed

    asyncio.run(run())


@given(
    responses(),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=4),
    st.lists(st.integers(0, 2000), max_size=4),
)
@example(
    (OK + b"content-length: 2\r\n\r\nhi", 200, [(b"content-length", b"2")], b"hi", False),
    [(26, 0x38)],
    [],
)
@example((OK + b"content-length: 0\r\n\r\n", 200, [], b"", False), [(9, 0x30)], [])  # status 000
@examples(400)
def test_a_damaged_response_is_read_or_refused_and_never_hangs(response, damage, places):
    wire = bytearray(response[0])
    for place, value in damage:
        wire[place % len(wire)] = value

    async def run():
        line = Wire()
        try:
            await line.read(cut(bytes(wire), places))
        except UpstreamFailed:
            assert line.connection.closed

    asyncio.run(run())


@pytest.mark.parametrize(
    "extra", [b"x", b"\r\nHTTP/1.1 200 OK\r\n", OK + b"content-length: 0\r\n\r\n"]
)
@pytest.mark.parametrize("together", [True, False])
def test_bytes_after_a_response_close_the_connection(extra, together):
    wire = OK + b"content-length: 2\r\n\r\nhi"

    async def run():
        line = Wire()
        pieces = [wire + extra] if together else [wire, extra]
        assert (await line.read(pieces, then="open"))[2] == b"hi"
        assert line.end.aborted
        assert line.connection.closed

    asyncio.run(run())


@pytest.mark.parametrize("head", [b"connection: close\r\n", b"Connection: keep-alive, Close\r\n"])
def test_a_response_with_connection_close_is_the_last_on_its_connection(head):
    async def run():
        line = Wire()
        await line.read([OK + head + b"content-length: 2\r\n\r\nhi"], then="open")
        assert not line.idle
        assert line.connection.closed

    asyncio.run(run())


@pytest.mark.parametrize("status", [200, 204, 304])
def test_a_response_without_a_body_ends_with_its_head(status):
    head = Outgoing(b"HEAD", b"/", b"host: x\r\n", b"")
    outgoing = head if status == 200 else GET
    wire = b"HTTP/1.1 %d X\r\netag: a\r\n" % status
    if status != 204:
        wire += b"content-length: 10\r\n"

    async def run():
        return await Wire().read([wire + b"\r\n"], outgoing=outgoing, then="open")

    assert asyncio.run(run())[0] == status


def test_trailers_are_not_headers():
    wire = OK + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-evil: 1\r\n\r\n"

    async def run():
        return await Wire().read([wire], then="open")

    _, headers, body = asyncio.run(run())
    assert headers == [(b"transfer-encoding", b"chunked")]
    assert body == b"hi"


CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n"


@pytest.mark.parametrize(
    ("beginning", "more"),
    [
        (b"0\r\n", b"a:b\r\n" * 1000),
        (b"0\r\na: ", b"b" * 5000),
        (b"0\r\n", b"b" * 5000),
        (b"2;x=", b"y" * 5000),
    ],
    ids=["trailers", "a value", "a name", "an extension"],
)
def test_what_follows_a_body_without_an_end_fails_the_attempt_at_the_bound_of_a_head(
    beginning, more
):
    async def run():
        line = Wire()
        with pytest.raises(UpstreamFailed, match="trailers"):
            await line.read([CHUNKED + beginning, *[more] * 60], then="open")  # 300 KB
        assert line.end.aborted
        assert line.connection._headers == []

    asyncio.run(run())


def test_a_long_stream_of_small_chunks_does_not_count_as_trailers():
    async def run():
        pieces = [b"1;%b\r\na\r\n" % (b"x" * 500) for _ in range(1000)]
        line = Wire()
        return await line.read([CHUNKED, *pieces, b"0\r\n\r\n"], then="open")

    assert asyncio.run(run())[2] == b"hi" + b"a" * 1000
