"""Packed answers: unpacked bit by bit under their own key, anything else is refused."""

import struct
from hashlib import blake2b
from random import Random

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.cache.cached_answer import (
    HEAD_BYTES,
    MAX_BODY_BYTES,
    CachedAnswer,
    pack,
    stored_at_of,
    unpack,
)

KEY = bytes(range(32))
ANSWER = CachedAnswer("gpt-4.1", b"application/json", b'{"id": "a"}', 1_700_000_000.25)

counts = st.integers(0, 2**63 - 1)
bodies = st.one_of(
    st.binary(max_size=3000),
    st.builds(lambda piece, times: piece * times, st.binary(max_size=99), st.integers(0, 2000)),
)
answers = st.builds(
    CachedAnswer,
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(),
    bodies,
    st.floats(-1e12, 1e12),
    st.booleans(),
    st.booleans(),
    counts,
    counts,
    st.integers(0, 10**14),  # nano-dollars: no answer costs more than 100,000 dollars
)


def sealed(key, stored_at, rest):
    """A value whose checksum is right, whatever is in it."""
    tail = struct.pack(">d", stored_at) + rest
    known_by = blake2b(struct.pack(">I", len(key)) + key + tail, digest_size=16).digest()
    return b"lpa\x01" + known_by + tail


def rest(body, *, compressed, cost_usd=0.0):
    return msgspec.msgpack.encode(["g", b"t", body, compressed, False, True, 1, 2, cost_usd])


@given(st.binary(max_size=64), answers)
def test_unpack_returns_what_was_packed(key, answer):
    value = pack(key, answer)
    assert unpack(key, value) == answer
    assert stored_at_of(value[:HEAD_BYTES]) == answer.stored_at


def test_values_packed_by_an_older_version_are_read():
    written = bytes.fromhex(
        "6c706101b8f8fe0c536c9f89d69fe2eda2081c7141d954fc4010000099a76770742d342e31c41061"
        "70706c69636174696f6e2f6a736f6ec40b7b226964223a202261227dc2c2c30700cb3fe000000000"
        "0000"
    )
    answer = msgspec.structs.replace(ANSWER, input_tokens=7, nano_usd=500_000_000)
    assert unpack(KEY, written) == answer


@given(st.binary(max_size=64), st.binary(max_size=64), answers)
def test_a_value_under_another_key_is_refused(key, other, answer):
    assert (unpack(other, pack(key, answer)) is not None) == (key == other)


@pytest.mark.parametrize("body", [b'{"id": "a"}', b"word " * 300])
def test_a_flipped_bit_or_a_missing_end_is_refused(body):
    value = pack(KEY, msgspec.structs.replace(ANSWER, body=body))
    assert unpack(KEY, value) is not None
    for bit in range(len(value) * 8):
        flipped = bytearray(value)
        flipped[bit // 8] ^= 1 << bit % 8
        assert unpack(KEY, bytes(flipped)) is None
    for length in range(len(value)):
        assert unpack(KEY, value[:length]) is None
    assert unpack(KEY, value + b"\0") is None


@given(st.binary(max_size=200))
def test_foreign_values_are_refused(value):
    assert unpack(KEY, value) is None
    assert stored_at_of(value) is None


@given(st.floats(), st.binary(max_size=200))
def test_senseless_contents_are_refused_even_with_a_right_checksum(stored_at, rest):
    assert unpack(KEY, sealed(KEY, stored_at, rest)) is None


def test_a_body_is_compressed_if_that_makes_it_smaller():
    text = msgspec.structs.replace(ANSWER, body=b"word " * 2000)
    assert len(pack(KEY, text)) < 1000
    noise = msgspec.structs.replace(ANSWER, body=Random(1).randbytes(3000))
    around = len(pack(KEY, ANSWER)) - len(ANSWER.body)
    assert len(pack(KEY, noise)) <= len(noise.body) + around + 2  # a longer length


@pytest.mark.parametrize("size", [MAX_BODY_BYTES, MAX_BODY_BYTES + 1])
def test_the_biggest_bodies_are_unpacked_too(size):
    answer = msgspec.structs.replace(ANSWER, body=bytes(size))
    assert unpack(KEY, pack(KEY, answer)) == answer


def test_nothing_is_decompressed_beyond_the_bound():
    huge = zstandard.compress(bytes(MAX_BODY_BYTES + 1))
    assert unpack(KEY, sealed(KEY, 1.0, rest(huge, compressed=True))) is None
    most = zstandard.compress(bytes(MAX_BODY_BYTES))
    assert unpack(KEY, sealed(KEY, 1.0, rest(most, compressed=True))) is not None


def silent_frame(body):
    """zstd that does not say how long it is."""
    return zstandard.ZstdCompressor(write_content_size=False).compress(body)


@pytest.mark.parametrize(
    "body",
    [
        silent_frame(bytes(MAX_BODY_BYTES + 1)),
        silent_frame(b"short"),
        zstandard.compress(b"short") + b"more",
        zstandard.compress(b"short") * 2,
        zstandard.compress(b"short")[:-1],
        b"no frame at all",
        b"",
    ],
)
def test_a_body_that_is_not_one_whole_frame_of_known_size_is_refused(body):
    assert unpack(KEY, sealed(KEY, 1.0, rest(body, compressed=True))) is None


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_infinite_numbers_and_nan_are_refused(number):
    assert unpack(KEY, sealed(KEY, number, rest(b"body", compressed=False))) is None
    costly = rest(b"body", compressed=False, cost_usd=number)
    assert unpack(KEY, sealed(KEY, 1.0, costly)) is None
