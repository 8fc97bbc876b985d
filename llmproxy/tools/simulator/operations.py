"""The table of operations, and the smaller ones: embeddings and models."""

from __future__ import annotations

import base64
import math
import sys
from array import array
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import blake2b, shake_128
from urllib.parse import unquote

import msgspec

from llmproxy.tools.simulator.chat import chat_completion, text_completion
from llmproxy.tools.simulator.completion import count_tokens, inputs_of
from llmproxy.tools.simulator.errors import VendorError, known_error
from llmproxy.tools.simulator.exchange import ApiCall, Json, Reply, json_reply
from llmproxy.tools.simulator.flavours import no_such_path
from llmproxy.tools.simulator.responses import create_response, stored_response
from llmproxy.tools.simulator.settings import USUAL_MODELS
from llmproxy.tools.simulator.state import VendorState, decoded

USUAL_DIMENSIONS = 1536
LARGE_DIMENSIONS = 3072


class EmbeddingsRequest(msgspec.Struct):
    """`input`: a text, texts, one list of token numbers or several."""

    input: str | list[str | int | list[int]]
    model: str | None = None
    dimensions: int | None = None
    encoding_format: str | None = None


def embeddings(call: ApiCall, state: VendorState) -> Reply:
    """Answer with unit vectors made from the input alone. Raises VendorError.

    They are numbers, or base64 of little-endian 32-bit floats (the default of openai-python).
    """
    request = decoded(EmbeddingsRequest, call)
    model = state.model(call, request.model)
    inputs = inputs_of(request.input, "input")
    tokens = sum(count_tokens(given) if isinstance(given, str) else len(given) for given in inputs)
    state.admit(call, model, prompt=tokens)
    usual = LARGE_DIMENSIONS if "large" in model else USUAL_DIMENSIONS
    dimensions = request.dimensions or usual
    if not 1 <= dimensions <= LARGE_DIMENSIONS:
        text = f"Invalid value for 'dimensions' = {dimensions}. Must be from 1 to {usual}."
        raise VendorError(400, text, param="dimensions")
    as_base64 = request.encoding_format == "base64"
    vectors = [_embedding(given, dimensions, as_base64=as_base64) for given in inputs]
    listed: list[Json] = [
        {"object": "embedding", "index": index, "embedding": vector}
        for index, vector in enumerate(vectors)
    ]
    usage: Json = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json_reply({"object": "list", "data": listed, "model": model, "usage": usage})


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
    """Return the unit vector of a seed."""
    numbers = array("h", shake_128(seed).digest(dimensions * 2))
    length = math.sqrt(sum(number * number for number in numbers)) or 1.0
    return array("f", [number / length for number in numbers])


MODEL_CREATED = 1_744_300_000


def models(call: ApiCall, state: VendorState) -> Reply:
    """List the models, or return one. Raises VendorError."""
    _, _, wanted = call.operation.partition("/")
    known = state.settings.models or USUAL_MODELS
    if call.method not in ("GET", "HEAD"):
        raise no_such_path(call)
    if not wanted:
        return json_reply({"object": "list", "data": [_model(name) for name in known]})
    name = unquote(wanted)
    if name not in known:
        text = f"The model '{name}' does not exist"
        raise known_error(404, "model_not_found", text)
    return json_reply(_model(name))


def _model(name: str) -> Json:
    return {"id": name, "object": "model", "created": MODEL_CREATED, "owned_by": "simulator"}


# --- the table ----------------------------------------------------------------------------

Handler = Callable[[ApiCall, VendorState], Reply]

# Found by method and path, or by the path's first segment and a slash; the latter check the rest
# themselves.
OPERATIONS: dict[str, Handler] = {
    "POST chat/completions": chat_completion,
    "POST completions": text_completion,
    "POST embeddings": embeddings,
    "POST responses": create_response,
    "responses/": stored_response,
    "models/": models,
}


def answer_call(call: ApiCall, state: VendorState, operations: Mapping[str, Handler]) -> Reply:
    """Answer a call by a table of operations. Raises VendorError."""
    first = call.operation.partition("/")[0]
    handler = operations.get(f"{call.method} {call.operation}") or operations.get(f"{first}/")
    if handler is None:
        raise no_such_path(call)
    return handler(call, state)
