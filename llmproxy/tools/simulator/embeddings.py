"""embeddings: unit vectors made from the input alone, as numbers or as base64 of little-endian
32-bit floats (which is what openai-python asks for)."""

from __future__ import annotations

import base64
import math
import sys
from array import array
from functools import lru_cache
from hashlib import blake2b, shake_128

import msgspec

from llmproxy.tools.simulator.errors import VendorError
from llmproxy.tools.simulator.exchange import ApiCall, Json, Reply, json_reply
from llmproxy.tools.simulator.state import VendorState, decoded
from llmproxy.tools.simulator.text import count_tokens

USUAL_DIMENSIONS = 1536
LARGE_DIMENSIONS = 3072


class EmbeddingsRequest(msgspec.Struct):
    """`input`: a text, texts, one list of token numbers or several."""

    input: str | list[str | int | list[int]]
    model: str | None = None
    dimensions: int | None = None
    encoding_format: str | None = None


_REQUEST = msgspec.json.Decoder(EmbeddingsRequest)


def embeddings(call: ApiCall, state: VendorState) -> Reply:
    """Answer one request. Raises VendorError."""
    request = decoded(_REQUEST, call)
    model = state.model(call, request.model)
    inputs = _inputs(request.input)
    tokens = sum(count_tokens(each) if isinstance(each, str) else len(each) for each in inputs)
    state.admit(call, model, prompt=tokens)
    usual = LARGE_DIMENSIONS if "large" in model else USUAL_DIMENSIONS
    dimensions = request.dimensions or usual
    if not 1 <= dimensions <= LARGE_DIMENSIONS:
        text = f"Invalid value for 'dimensions' = {dimensions}. Must be from 1 to {usual}."
        raise VendorError(400, text, param="dimensions")
    as_base64 = request.encoding_format == "base64"
    listed: list[Json] = [
        {
            "object": "embedding",
            "index": index,
            "embedding": _embedding(each, dimensions, as_base64=as_base64),
        }
        for index, each in enumerate(inputs)
    ]
    return json_reply(
        {
            "object": "list",
            "data": listed,
            "model": model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


def _inputs(given: str | list[str | int | list[int]]) -> list[str | list[int]]:
    if isinstance(given, str):
        return [given]
    numbers = [each for each in given if isinstance(each, int)]
    if numbers:
        if len(numbers) != len(given):
            raise VendorError(400, "'input' mixes tokens with texts.", param="input")
        return [numbers]
    if not given:
        raise VendorError(400, "'$.input' is invalid: it is an empty array.", param="input")
    return [each for each in given if not isinstance(each, int)]


def _embedding(given: str | list[int], dimensions: int, *, as_base64: bool) -> str | list[float]:
    seed = (
        given.encode("utf-8", "surrogatepass") if isinstance(given, str) else repr(given).encode()
    )
    vector = _vector(blake2b(seed).digest(), dimensions)
    if not as_base64:
        return vector.tolist()
    if sys.byteorder == "big":
        vector = array("f", vector)
        vector.byteswap()
    return base64.b64encode(vector.tobytes()).decode("ascii")


@lru_cache(maxsize=256)
def _vector(seed: bytes, dimensions: int) -> array[float]:
    """A unit vector; a given seed always has the same."""
    numbers = array("h", shake_128(seed).digest(dimensions * 2))
    length = math.sqrt(sum(number * number for number in numbers)) or 1.0
    return array("f", [number / length for number in numbers])
