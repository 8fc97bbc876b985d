"""The response writer without a socket: how an answer is framed."""

import pytest

from llmproxy.server.response_writer import ResponseWriter

JSON = [(b"content-type", b"application/json")]
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


class FakeConnection:
    """Records what is written; it is its own transport and its own flow control."""

    def __init__(self, *, closes=False):
        self.wire = b""
        self.gone = False
        self.closed = False
        self.finished = 0
        self.write_paused = False
        self.closes_after_answer = closes
        self.transport = self.flow = self

    def write(self, data):
        self.wire += data

    def close(self):
        self.closed = True

    def cut(self):
        self.transport.close()

    def response_finished(self):
        self.finished += 1


def written(connection, chunks, *, method="POST", version="1.1", status=200, length=None):
    writer = ResponseWriter(connection, method, version)
    writer.start(status, JSON, length=length)
    assert connection.wire == b"", "the head waits for the first body bytes"
    for chunk in chunks:
        writer.write(chunk)
    writer.finish()
    return connection.wire


@pytest.mark.parametrize(
    ("how", "wire"),
    [
        ({"length": 2}, HEAD + b"content-length: 2\r\n\r\nhi"),
        ({}, HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
        ({"version": "1.0"}, HEAD + b"\r\nhi"),
        ({"method": "HEAD", "length": 2}, HEAD + b"content-length: 2\r\n\r\n"),
        ({"method": "HEAD"}, HEAD + b"transfer-encoding: chunked\r\n\r\n"),
    ],
)
def test_an_answer_is_framed_for_its_request(how, wire):
    connection = FakeConnection()
    assert written(connection, [b"hi"], **how) == wire
    assert connection.finished == 1


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_has_no_framing(status):
    wire = written(FakeConnection(), [b"hi"], status=status)
    assert wire.endswith(b"application/json\r\n\r\n")
    assert b"content-length" not in wire


def test_the_last_answer_announces_the_end_of_the_connection():
    wire = written(FakeConnection(closes=True), [b"hi"], length=2)
    assert wire == HEAD + b"content-length: 2\r\nconnection: close\r\n\r\nhi"


def test_an_empty_chunk_does_not_end_a_chunked_answer():
    wire = written(FakeConnection(), [b"a", b"", b"b"])
    assert wire.endswith(b"\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n")


def test_a_full_buffer_is_reported():
    connection = FakeConnection()
    writer = ResponseWriter(connection, "POST", "1.1")
    writer.start(200, JSON, length=None)
    assert writer.write(b"a")
    connection.write_paused = True
    assert not writer.write(b"a")


def test_nothing_is_written_to_a_client_that_has_left():
    connection = FakeConnection()
    writer = ResponseWriter(connection, "POST", "1.1")
    writer.start(200, JSON, length=None)
    connection.gone = True
    assert writer.write(b"a")
    writer.finish()
    writer.abort()
    assert not writer.connected
    assert (connection.wire, connection.finished, connection.closed) == (b"", 0, False)


def test_an_aborted_answer_closes_the_connection_without_an_end():
    connection = FakeConnection()
    writer = ResponseWriter(connection, "POST", "1.1")
    writer.start(200, JSON, length=None)
    writer.write(b"hi")
    writer.abort()
    assert connection.closed
    assert connection.wire.endswith(b"2\r\nhi\r\n")
