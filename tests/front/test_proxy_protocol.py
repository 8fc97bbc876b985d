"""The PROXY header, well-formed, cut anywhere, and hostile."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.front.proxy_protocol import MalformedHeader, parse
from tests.support.proxy_header import SIGNATURE, v2

GOOD = [
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 51234 443\r\n", ("192.0.2.7", 51234)),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 51234 443\r\n", ("2001:db8::7", 51234)),
    (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n", ("192.0.2.7", 1)),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
    (v2("192.0.2.7", "198.51.100.1"), ("192.0.2.7", 51234)),
    (v2("2001:db8::7", "2001:db8::1"), ("2001:db8::7", 51234)),
    (v2("192.0.2.7", "198.51.100.1", extra=b"\x04\x00\x03abc"), ("192.0.2.7", 51234)),
    (v2("192.0.2.7", "198.51.100.1", command=0x20), None),
    (SIGNATURE + b"\x20\x00\x00\x00", None),
    (v2("192.0.2.7", "198.51.100.1", family=0x31), None),
    (v2("192.0.2.7", "198.51.100.1", family=0x12), None),
]


@pytest.mark.parametrize(("header", "named"), GOOD)
def test_a_header_names_the_client_and_where_it_ends(header, named):
    assert parse(header) == (len(header), named)
    assert parse(header + b"GET / HTTP/1.1\r\n") == (len(header), named)
    for cut in range(1, len(header)):
        assert parse(header[:cut]) is None, cut


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"PROXX", b"proxy TCP4 ", b"\r\n\r\n\x00\r\nQUIX",
        b"PROXY \r\n", b"PROXY TCP4\r\n", b"PROXY TCP4 192.0.2.7 198.51.100.1 51234\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n", b"PROXY TCP6 192.0.2.7 192.0.2.8 1 2\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 -1 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 \xb2 443\r\n",
        b"PROXY TCP4 192.0.2.7  198.51.100.1 1 443\r\n",
        b"PROXY TCP4 localhost 198.51.100.1 1 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 1 443 more\r\n",
        b"PROXY UNIX a b 1 2\r\n", b"PROXY " + b"x" * 200,
        v2("192.0.2.7", "198.51.100.1", command=0x11),
        v2("192.0.2.7", "198.51.100.1", command=0x22),
        v2("192.0.2.7", "198.51.100.1", length=65535),
        SIGNATURE + b"\x21\x11\x00\x04abcd", SIGNATURE + b"\x21\x21\x00\x0c" + b"x" * 12,
    ],
)  # fmt: skip
def test_anything_else_is_refused(data):
    with pytest.raises(MalformedHeader):
        parse(data)


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(data):
    for begun in (data, b"PROXY " + data, b"PROXY TCP4 " + data, SIGNATURE + data):
        try:
            told = parse(begun)
        except MalformedHeader:
            continue
        assert told is None or 0 < told.length <= len(begun)
