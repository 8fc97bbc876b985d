"""Which messages a shape fits: those that the parser would read alike, and no others."""

import pytest

from llmproxy.batteries.known_heads.shape import shape_of

REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: a.b:80\r\nConnection: keep-alive\r\n"
    b"X-Request-Id: 1\r\nContent-Length: 4\r\n\r\nabcd"
)
ANSWER = b"HTTP/1.1 200 OK\r\ndate: Mon\r\ncontent-length: 2\r\nx-id:7\r\n\r\nok"


def test_values_and_the_length_of_the_body_may_differ():
    shape = shape_of(REQUEST)
    other = REQUEST.replace(b"Id: 1", b"Id: \xe9 2\t3").replace(
        b"4\r\n\r\nabcd", b"06\r\n\r\nabcdef"
    )
    headers, body = shape.found_in(other)
    assert shape.words == [b"POST", b"/v1/chat/completions", b"HTTP/1.1"]
    assert headers == [
        (b"host", b"a.b:80"),
        (b"connection", b"keep-alive"),
        (b"x-request-id", b"\xe9 2\t3"),
        (b"content-length", b"06"),
    ]
    assert body == b"abcdef"
    headers, _ = shape.found_in(REQUEST.replace(b"Id: 1", b"Id:\t 2 \t"))
    assert headers[2] == (b"x-request-id", b"2")
    headers, body = shape_of(ANSWER).found_in(ANSWER.replace(b"Mon", b"Tue"))
    assert headers == [(b"date", b"Tue"), (b"content-length", b"2"), (b"x-id", b"7")]
    assert body == b"ok"


@pytest.mark.parametrize(
    ("found", "other"),
    [
        (b"POST ", b"PUT "),
        (b"/v1/chat", b"/v2/chat"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"keep-alive", b"close"),
        (b"keep-alive", b"keep-alive, x-request-id"),
        (b"Id: 1", b"Id: a\x00b"),
        (b"Id: 1", b"Id: a\rb"),
        (b"Id: 1", b"Id: a\nb"),
        (b"Id: 1", b"Id: a\r\nb: c"),
        (b"Id: 1", b"Id: a\r\n folded"),
        (b"Id: 1", b"Id : 1"),
        (b"X-Request-Id", b"Transfer-Encoding"),
        (b"Length: 4", b"Length: 5"),
        (b"Length: 4", b"Length: 3"),
        (b"Length: 4", b"Length: +4"),
        (b"Length: 4", b"Length: 4_0"),
        (b"Length: 4", b"Length: "),
        (b"Length: 4", b"Length: " + b"0" * 15 + b"4"),
        (b"abcd", b"abcdPOST / HTTP/1.1\r\n"),
        (b"abcd", b"abc"),
        (b"\r\n", b"\n"),
    ],
)
def test_a_shape_fits_no_message_that_differs_in_more(found, other):
    assert REQUEST.count(found)
    assert shape_of(REQUEST).found_in(REQUEST.replace(found, other)) is None


@pytest.mark.parametrize(
    "message",
    [
        REQUEST.replace(b"Content-Length: 4\r\n\r\nabcd", b"A: b\r\n\r\n"),
        REQUEST.replace(b"keep-alive", b"close"),
        REQUEST.replace(b"X-Request-Id: 1", b"Expect: 100-continue"),
        REQUEST.replace(b"X-Request-Id: 1", b"Upgrade: websocket"),
        REQUEST.replace(b"X-Request-Id: 1", b"Transfer-Encoding: chunked"),
        REQUEST.replace(b"X-Request-Id: 1", b"Content-Length: 4"),
        REQUEST.replace(b"1.1", b"1.0"),
        REQUEST.replace(b"POST /", b"POST  /"),
        REQUEST.replace(b"Host: a.b:80\r\n", b"Host: a.b:80\n"),
        REQUEST.replace(b"Id: 1", b"Id: 1\r\n folded"),
        REQUEST.replace(b"Id: 1", b"Id: " + b"1" * 9_000),
        REQUEST + REQUEST.replace(b"keep-alive", b"close"),
        ANSWER.replace(b"content-length: 2\r\n", b""),
        ANSWER.replace(b"x-id:7", b"connection: close"),
        b"",
        b"\r\n\r\n",
        b"POST / HTTP/1.1",
    ],
)
def test_no_shape_is_learned_of_what_is_more_than_a_message_with_a_length(message):
    assert shape_of(message) is None
