"""JSON answers that are too long to be held have a usage and a cost, and pass as they are."""

import gzip
import json
import tracemalloc
import zlib
from random import Random

import brotli
import pytest
import zstandard

from llmproxy.batteries.long_answers.decoding import decoder_of
from llmproxy.batteries.long_answers.ends import usage_in_ends
from llmproxy.batteries.long_answers.meter import EndKeeper
from llmproxy.operations import Usage
from tests.support.client import ask
from tests.support.dialects import CHAT
from tests.support.groups import group_of
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import LAST_CHUNK, chunk, http, scripted

EMBEDDINGS, IMAGES = "/v1/embeddings", "/v1/images/generations"
LONG = 300_000  # bytes: more than an answer that is held
NUMBERS = Random(7)  # so that they are long when compressed, too
VECTOR = {"object": "embedding", "index": 0, "embedding": [NUMBERS.random() for _ in range(50_000)]}
EMBEDDED = {"prompt_tokens": 7_000, "total_tokens": 7_000}
PICTURED = {
    **{"input_tokens": 350, "output_tokens": 1_056, "total_tokens": 1_406},
    "input_tokens_details": {"text_tokens": 50, "image_tokens": 300},
}
CHATTED = {"prompt_tokens": 1_000, "completion_tokens": 200, "total_tokens": 1_200}
SPOKEN = {"role": "assistant", "content": None, "audio": {"data": "QUJD" * (LONG // 4)}}
# Prices in dollars per million tokens; the costs are computed by hand, in nano-dollars.
ANSWERS = {
    # 7,000 * 0.02
    "embeddings of OpenAI": (
        EMBEDDINGS,
        {"object": "list", "data": [VECTOR], "model": "m", "usage": EMBEDDED},
        ({"input": 0.02, "output": 0}, 140_000),
    ),
    "embeddings of llama.cpp": (
        EMBEDDINGS,
        {"model": "m", "object": "list", "usage": EMBEDDED, "data": [VECTOR]},
        ({"input": 0.02, "output": 0}, 140_000),
    ),
    # 50 * 5 + 300 * 10 + 1,056 * 40
    "an image": (
        IMAGES,
        {"created": 1, "data": [{"b64_json": "QUJD" * (LONG // 4)}], "usage": PICTURED},
        ({"input": 5, "output": 40, "image_input": 10}, 45_490_000),
    ),
    # three at 4 cents
    "images that are not counted in tokens": (
        IMAGES,
        {"created": 1, "data": [{"b64_json": "QUJD" * (LONG // 12)}] * 3},
        ({"input": 0, "output": 0, "per_image": 0.04}, 120_000_000),
    ),
    # 1,000 * 2 + 200 * 8, twice as priority
    "sound in chat": (
        CHAT,
        {
            **{"id": "chatcmpl-1", "object": "chat.completion", "service_tier": "priority"},
            "choices": [{"index": 0, "message": SPOKEN, "finish_reason": "stop"}],
            **{"usage": CHATTED, "system_fingerprint": None},
        },
        (
            {"input": 2, "output": 8, "tiers": {"priority": {"input": 4, "output": 16}}},
            7_200_000,
        ),
    ),
}
ENCODINGS = {
    "identity": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda body: brotli.compress(body, quality=1),
    "zstd": zstandard.ZstdCompressor().compress,
}


def in_pieces(body, size=50_000, **headers):
    head = http(b"", framed=False, headers=[("transfer-encoding", "chunked"), *headers.items()])
    pieces = [chunk(body[at : at + size]) for at in range(0, len(body), size)]
    return lambda received, number: [head, *pieces, LAST_CHUNK]


async def passed(path, script, price):
    """Return the reply to one call, and its record."""
    async with scripted(script) as server:
        config = group_of(server)
        config["model_groups"][0]["models"][0]["price"] = price
        async with serve_proxy(config) as proxy:
            asked = {"model": "gpt-4.1", "input": "Hi", "prompt": "Hi", "messages": []}
            reply = await ask(proxy.port, path, asked)
    (call,) = proxy.events.calls
    return reply, call.record


@pytest.mark.parametrize(("path", "answer", "priced"), ANSWERS.values(), ids=ANSWERS)
@bounded()
async def test_the_cost_of_a_long_answer_is_exact(path, answer, priced):
    price, nano = priced
    body = json.dumps(answer).encode()
    reply, record = await passed(path, in_pieces(body), price)
    assert reply.body == body
    assert (record.cost.nano_usd, record.cost.basis) == (nano, "exact")


@pytest.mark.parametrize("encoding", ENCODINGS)
@bounded()
async def test_a_compressed_answer_is_read_as_well_and_passes_compressed(encoding):
    path, answer, (price, nano) = ANSWERS["embeddings of OpenAI"]
    body = ENCODINGS[encoding](json.dumps(answer).encode())
    assert len(body) > LONG
    script = in_pieces(body, **{"content-encoding": encoding})
    reply, record = await passed(path, script, price)
    assert reply.body == body
    assert (record.cost.nano_usd, record.cost.basis) == (nano, "exact")


@bounded()
async def test_a_long_answer_that_breaks_off_before_its_usage_has_an_unknown_cost():
    body = json.dumps(ANSWERS["an image"][1]).encode()
    script = in_pieces(body)
    cut = lambda received, number: script(received, number)[:-2]  # noqa: E731
    async with scripted(cut) as server, serve_proxy(group_of(server)) as proxy:
        with pytest.raises(ValueError, match="invalid literal"):  # no further chunk
            await ask(proxy.port, IMAGES, {"model": "gpt-4.1", "prompt": "Hi"})
    assert proxy.events.calls[0].record.cost.basis == "unknown"


def test_only_a_usage_of_the_answer_itself_counts():
    text = '{"usage": {"prompt_tokens": 1, "total_tokens": 1}}'
    inside = json.dumps({"data": [{"usage": EMBEDDED, "text": text}], "model": "m"}).encode()
    assert usage_in_ends(inside, inside) is None
    assert usage_in_ends(inside[:200], inside[5:]) is None
    both = json.dumps({"data": [{"usage": EMBEDDED}], "usage": CHATTED, "text": text}).encode()
    assert usage_in_ends(b"", both[5:]) == Usage(1_000, 200)


class Nowhere:
    def write(self, chunk):
        return True


def test_little_of_an_answer_is_kept_however_long_it_is():
    whole = json.dumps({"data": "QUJD" * 8_000_000, "usage": CHATTED}).encode()
    compressed = gzip.compress(whole, 1)
    del whole
    ends = EndKeeper(Nowhere(), decoder_of(b"gzip"))
    tracemalloc.start()
    try:
        for at in range(0, len(compressed), 10_000):
            ends.write(compressed[at : at + 10_000])
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 2_000_000
    assert ends.usage() == Usage(1_000, 200)


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate", b"br", b"zstd"])
def test_what_is_not_as_its_encoding_says_passes_without_usage(encoding):
    ends = EndKeeper(Nowhere(), decoder_of(encoding))
    assert ends.write(b"\xff\xfe no such thing " * 100)
    assert ends.write(b"more")
    assert ends.usage() is None


def test_a_body_that_grows_without_end_is_not_decoded_to_its_end():
    bomb = gzip.compress(b" " * 300_000_000, 9)
    ends = EndKeeper(Nowhere(), decoder_of(b"gzip"))
    ends.write(bomb)
    assert ends.usage() is None
