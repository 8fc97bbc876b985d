"""Encoded bodies come out whole or not at all, and bombs go off in a small space."""

import gzip
import random
import subprocess
import sys
import tracemalloc
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.errors import ClientError
from llmproxy.rules.encoding import decoded, readable


def bare_deflate(text):
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(text) + stream.flush()


ENCODERS = {
    b"gzip": gzip.compress,
    b"x-gzip": gzip.compress,
    b"deflate": zlib.compress,
    b"br": lambda text: brotli.compress(text, quality=4),
    b"zstd": zstandard.compress,
}
LIMITS = {"max_bytes": 32 << 20, "max_ratio": 100.0}
NOISE = random.Random(1).randbytes(200_000)

every_encoding = pytest.mark.parametrize("encoding", ENCODERS)


@every_encoding
@given(text=st.binary(max_size=300))
def test_an_encoded_body_is_decoded(encoding, text):
    assert decoded(ENCODERS[encoding](text), encoding, **LIMITS) == text


@every_encoding
def test_big_texts_are_decoded(encoding):
    assert decoded(ENCODERS[encoding](NOISE), encoding, **LIMITS) == NOISE


def test_bare_deflate_without_its_header_is_decoded_too():
    assert decoded(bare_deflate(NOISE), b"deflate", **LIMITS) == NOISE


@pytest.mark.parametrize("encoding", [b"", b"identity", b" , identity"])
def test_no_encoding_changes_nothing(encoding):
    assert decoded(b"text", encoding, **LIMITS) == b"text"


def test_a_list_of_encodings_is_undone_from_its_end():
    twice = brotli.compress(gzip.compress(b"text"))
    assert decoded(twice, b"GZip , Br", **LIMITS) == b"text"


@pytest.mark.parametrize("encoding", [b"gzip", b"zstd"])
def test_several_members_or_frames_are_one_text(encoding):
    parts = ENCODERS[encoding](b"one ") + ENCODERS[encoding](b"") + ENCODERS[encoding](b"two")
    assert decoded(parts, encoding, **LIMITS) == b"one two"


@pytest.mark.parametrize("encoding", [b"gzip", b"zstd"])
def test_the_number_of_members_and_frames_is_limited(encoding):
    part = ENCODERS[encoding](b"x")
    assert len(decoded(part * 1_000, encoding, **LIMITS)) == 1_000
    refused_as(400, part * 1_001, encoding)


def refused_as(status, body, encoding, **limits):
    with pytest.raises(ClientError) as refused:
        decoded(body, encoding, **{**LIMITS, **limits})
    assert refused.value.status == status
    return refused.value


@every_encoding
def test_a_body_that_is_cut_anywhere_is_refused(encoding):
    body = ENCODERS[encoding](b"some text, some more text, and a little more of it" * 20)
    for cut in range(len(body)):
        refused_as(400, body[:cut], encoding)


@every_encoding
@pytest.mark.parametrize("garbage", [b"x", b"\0", b"\0" * 100, b"garbage" * 20_000])
def test_bytes_behind_the_end_are_refused(encoding, garbage):
    refused_as(400, ENCODERS[encoding](b"text") + garbage, encoding)


@every_encoding
@given(garbage=st.binary(max_size=80))
def test_anything_else_is_decoded_or_refused_and_never_crashes(encoding, garbage):
    try:
        decoded(garbage, encoding, **LIMITS)
    except ClientError as refused:
        assert refused.status == 400


@every_encoding
@given(data=st.data())
def test_a_damaged_body_is_never_taken_for_something_longer_than_it_may_be(encoding, data):
    body = bytearray(ENCODERS[encoding](NOISE[:2000]))
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        assert len(decoded(bytes(body), encoding, max_bytes=5000, max_ratio=100.0)) <= 5000
    except ClientError as refused:
        assert refused.status in (400, 413)


@every_encoding
def test_the_limit_is_exact(encoding):
    body = ENCODERS[encoding](NOISE)
    assert decoded(body, encoding, max_bytes=len(NOISE), max_ratio=1e9) == NOISE
    refused_as(413, body, encoding, max_bytes=len(NOISE) - 1, max_ratio=1e9)


def test_the_limit_holds_without_any_encoding():
    refused_as(413, b"text", b"identity", max_bytes=3)


@every_encoding
def test_a_ratio_beyond_the_accepted_is_refused_but_not_for_short_texts(encoding):
    assert decoded(ENCODERS[encoding](b" " * 65_536), encoding, **LIMITS)
    refused_as(413, ENCODERS[encoding](b" " * 10_000_000), encoding, max_ratio=10.0)


@every_encoding
def test_a_bomb_is_stopped_before_it_fills_the_memory(encoding):
    bomb = ENCODERS[encoding](bytes(60_000_000))
    tracemalloc.start()
    try:
        refused_as(413, bomb, encoding, max_bytes=1 << 20, max_ratio=1e9)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 << 20


def test_a_zstd_window_beyond_what_http_allows_is_refused():
    wide = zstandard.ZstdCompressionParameters(window_log=25)
    stream = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    refused_as(400, stream.compress(NOISE) + stream.flush(), b"zstd")


@pytest.mark.parametrize("encoding", [b"lzma", b"gzip, foo", b"gzip, gzip, gzip, gzip"])
def test_unknown_encodings_are_refused_with_what_is_supported(encoding):
    refusal = refused_as(415, gzip.compress(b"text"), encoding)
    assert refusal.code == "unsupported_content_encoding"


@every_encoding
def test_a_copy_of_a_response_is_readable(encoding):
    assert readable(ENCODERS[encoding](NOISE), encoding, max_bytes=len(NOISE)) == NOISE


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"no gzip", b"gzip"),
        (gzip.compress(NOISE)[:-1], b"gzip"),
        (b"text", b"unknown"),
        (gzip.compress(bytes(10_000_000)), b"gzip"),
    ],
    ids=["corrupt", "truncated", "unknown", "too big"],
)
def test_an_unreadable_copy_is_none(body, encoding):
    assert readable(body, encoding, max_bytes=1_000_000) is None


def test_compressors_cost_no_start_up_time():
    asked = "import sys, llmproxy.rules.encoding; print({'brotli', 'zstandard'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"
