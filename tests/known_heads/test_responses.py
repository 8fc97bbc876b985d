"""An endpoint's answers are the same, whether httptools parses each head or a shape is known."""

import asyncio
from time import monotonic

import pytest

from llmproxy.batteries.known_heads import KNOWING_PARSERS
from llmproxy.calls import Outgoing
from llmproxy.errors import UpstreamError
from llmproxy.streams import PARSERS
from llmproxy.upstream.connection import UpstreamConnection

POST = Outgoing(b"POST", b"/", b"host: x\r\n", b"{}")
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-request-id: 1\r\n"
    b"Content-Length: 2\r\nConnection: keep-alive\r\n\r\nok"
)
INSERTED = [
    *(b"\r\n", b"\n", b"\r", b" ", b"\x00", b":", b"0", b"1", b"+", b"\xff", b"close"),
    *(b"\r\nContent-Length: 2", b"\r\nTransfer-Encoding: chunked", b"\r\nConnection: close"),
    *(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n", ANSWER),
]


class End(asyncio.Transport):
    """The endpoint's end: it says what each answer is, in one read."""

    aborted = False

    def write(self, data):
        pass

    def abort(self):
        self.aborted = True

    def pause_reading(self):
        pass

    resume_reading = pause_reading


async def read_by(parsers, answers):
    """Return what a connection makes of answers to one call after the other."""

    class Owner:
        def became_idle(self, _connection):
            seen.append("idle")

        def was_closed(self, _connection):
            seen.append("closed")

    seen = []
    end = End()
    connection = UpstreamConnection(asyncio.get_running_loop(), Owner(), parsers)
    connection.connection_made(end)
    for answer in answers:
        if end.aborted:
            break
        calling = asyncio.ensure_future(call(connection, seen))
        await asyncio.sleep(0)
        connection.get_buffer(-1)[: len(answer)] = answer
        connection.buffer_updated(len(answer))
        for _ in range(4):
            await asyncio.sleep(0)
        if not calling.done() and not end.aborted:
            connection.connection_lost(None)
            end.aborted = True
        await calling
    return seen


async def call(connection, seen):
    try:
        response = await connection.exchange(POST, until=monotonic() + 5)
        seen.append((response.status, response.headers, response.content))
        seen.append(await response.chunk(monotonic() + 5))
        response.close()
    except UpstreamError as error:
        seen.append(str(error))


@pytest.mark.parametrize("put", INSERTED)
def test_each_change_at_each_place_is_read_as_httptools_reads_it(put):
    async def compare():
        for place in range(len(ANSWER)):
            changed = ANSWER[:place] + put + ANSWER[place:]
            answers = [ANSWER, ANSWER.replace(b"id: 1", b"id: 2"), changed, ANSWER]
            plain = await read_by(PARSERS, answers)
            assert len(plain) > 6
            assert await read_by(KNOWING_PARSERS, answers) == plain, place

    asyncio.run(compare())


def test_the_headers_and_the_body_are_those_of_each_answer():
    async def compare():
        other = ANSWER.replace(b"id: 1", b"id: 9").replace(b"2\r\nC", b"4\r\nC") + b"ay"
        _, first, _, _, second, body = await read_by(KNOWING_PARSERS, [ANSWER, other])
        assert (first[0], second[0], body) == (200, 200, b"okay")
        assert second[1] == [
            (b"content-type", b"application/json"),
            (b"x-request-id", b"9"),
            (b"content-length", b"4"),
            (b"connection", b"keep-alive"),
        ]

    asyncio.run(compare())
