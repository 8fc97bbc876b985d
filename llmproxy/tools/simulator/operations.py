"""The table of operations, and the smaller ones: embeddings, models, moderations, rerank, files."""

from __future__ import annotations

import base64
import math
import sys
from array import array
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b, shake_128
from urllib.parse import unquote

import msgspec

from llmproxy.tools.simulator.chat import chat_completion, text_completion
from llmproxy.tools.simulator.completion import TextPart, count_tokens
from llmproxy.tools.simulator.errors import VendorError, known_error
from llmproxy.tools.simulator.exchange import ApiCall, Json, Reply, json_reply
from llmproxy.tools.simulator.media import (
    edited_images,
    generated_images,
    read_form,
    speech,
    transcription,
)
from llmproxy.tools.simulator.responses import create_response, stored_response
from llmproxy.tools.simulator.settings import USUAL_MODELS
from llmproxy.tools.simulator.state import (
    StoredFile,
    VendorState,
    decoded,
    no_such_path,
    store,
)

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
    inputs = _inputs(request.input)
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


def _inputs(given: str | list[str | int | list[int]]) -> list[str | list[int]]:
    if isinstance(given, str):
        return [given]
    numbers = [item for item in given if isinstance(item, int)]
    if numbers:
        if len(numbers) != len(given):
            raise VendorError(400, "'input' mixes tokens with texts.", param="input")
        return [numbers]
    if not given:
        raise VendorError(400, "'$.input' is invalid: it is an empty array.", param="input")
    return [item for item in given if not isinstance(item, int)]


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

_CATEGORIES = (
    "harassment harassment/threatening hate hate/threatening illicit illicit/violent self-harm "
    "self-harm/instructions self-harm/intent sexual sexual/minors violence violence/graphic"
)


class ModerationsRequest(msgspec.Struct):
    """Texts to check."""

    input: str | list[str | TextPart]
    model: str | None = None


class RerankDocument(msgspec.Struct):
    """A document that is an object."""

    text: str = ""


class RerankRequest(msgspec.Struct):
    """Documents to sort (Cohere's and Jina's shape)."""

    query: str
    documents: list[str | RerankDocument]
    model: str | None = None
    top_n: int | None = None
    return_documents: bool = False


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


def moderations(call: ApiCall, state: VendorState) -> Reply:
    """Flag texts that contain "kill". Raises VendorError."""
    request = decoded(ModerationsRequest, call)
    model = state.model(call, request.model or "omni-moderation-latest")
    given = [request.input] if isinstance(request.input, str) else request.input
    texts = [item if isinstance(item, str) else item.text or "" for item in given]
    state.admit(call, model, prompt=sum(map(count_tokens, texts)))
    results = [_moderation("kill" in text.lower()) for text in texts]
    return json_reply({"id": state.new_id("modr-"), "model": model, "results": results})


def _moderation(violent: bool) -> Json:
    names = _CATEGORIES.split()
    flagged = {name: violent and name == "violence" for name in names}
    return {
        "flagged": violent,
        "categories": flagged,
        "category_scores": {name: 0.98 if flagged[name] else 0.0001 for name in names},
        "category_applied_input_types": {name: ["text"] for name in names},
    }


def rerank(call: ApiCall, state: VendorState) -> Reply:
    """Sort documents by the words that they share with the query. Raises VendorError."""
    request = decoded(RerankRequest, call)
    model = state.model(call, request.model)
    texts = [item if isinstance(item, str) else item.text for item in request.documents]
    tokens = count_tokens(request.query) + sum(map(count_tokens, texts))
    state.admit(call, model, prompt=tokens)
    wanted = set(request.query.lower().split())
    scores = [len(wanted & set(text.lower().split())) / max(1, len(wanted) or 1) for text in texts]
    order = sorted(range(len(texts)), key=lambda index: -scores[index])[: request.top_n]
    results: list[Json] = [
        {"index": index, "relevance_score": round(scores[index], 4)} for index in order
    ]
    if request.return_documents:
        for result in results:
            result["document"] = {"text": texts[int(str(result["index"]))]}
    usage: Json = {"total_tokens": tokens}
    return json_reply(
        {"id": state.new_id("rerank-"), "model": model, "results": results, "usage": usage}
    )


def files(call: ApiCall, state: VendorState) -> Reply:
    """Upload, list, read and delete files. Raises VendorError."""
    _, id_, *rest = (*call.operation.split("/"), "")[:3]
    if not id_:
        if call.method == "POST":
            return _upload(call, state)
        listed = [file.described for file in state.files.values()]
        return json_reply({"object": "list", "data": listed, "has_more": False})
    file = state.files.get(id_)
    if file is None:
        raise VendorError(404, f"No such File object: {id_}", param="id")
    match (call.method, rest[0]):
        case ("GET", ""):
            return json_reply(file.described)
        case ("GET", "content"):
            return Reply(200, [(b"content-type", b"application/octet-stream")], file.content)
        case ("DELETE", ""):
            del state.files[id_]
            return json_reply({"id": id_, "object": "file", "deleted": True})
    raise no_such_path(call)


def _upload(call: ApiCall, state: VendorState) -> Reply:
    form = read_form(call)
    file = form.file("file")
    purpose = form.fields.get("purpose")
    if not purpose:
        raise VendorError(400, "Missing required parameter: 'purpose'.", param="purpose")
    id_ = state.new_id("file-")
    described: Json = {
        "id": id_,
        "object": "file",
        "bytes": len(file.content),
        "created_at": state.created(),
        "expires_at": None,
        "filename": file.name,
        "purpose": purpose,
        "status": "processed",
        "status_details": None,
    }
    store(state.files, id_, StoredFile(described, file.content))
    return json_reply(described)


# --- the table ----------------------------------------------------------------------------

Handler = Callable[[ApiCall, VendorState], Reply]

POSTS: dict[str, Handler] = {
    "chat/completions": chat_completion,
    "completions": text_completion,
    "embeddings": embeddings,
    "responses": create_response,
    "moderations": moderations,
    "audio/speech": speech,
    "audio/transcriptions": transcription,
    "audio/translations": transcription,
    "images/generations": generated_images,
    "images/edits": edited_images,
    "images/variations": edited_images,
    "rerank": rerank,
}

# Found by the first segment of the path. These check method and ids themselves.
RESOURCES: dict[str, Handler] = {
    "models": models,
    "files": files,
    "responses": stored_response,
}


def answer_call(call: ApiCall, state: VendorState) -> Reply:
    """Answer a call. Raises VendorError."""
    if (operation := POSTS.get(call.operation)) is not None:
        if call.method == "POST":
            return operation(call, state)
        raise no_such_path(call)
    resource = RESOURCES.get(call.operation.partition("/")[0])
    if resource is None:
        raise no_such_path(call)
    return resource(call, state)
