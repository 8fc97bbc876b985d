"""The smaller operations: models, moderations, rerank, files."""

from __future__ import annotations

from urllib.parse import unquote

import msgspec

from llmproxy.tools.simulator.errors import VendorError, known_error
from llmproxy.tools.simulator.exchange import ApiCall, Json, Reply, json_reply
from llmproxy.tools.simulator.forms import read_form
from llmproxy.tools.simulator.settings import USUAL_MODELS
from llmproxy.tools.simulator.state import StoredFile, VendorState, decoded, no_such_path, store
from llmproxy.tools.simulator.text import count_tokens

MODEL_CREATED = 1_744_300_000

_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


class _ModerationPart(msgspec.Struct):
    type: str = "text"
    text: str | None = None


class ModerationsRequest(msgspec.Struct):
    """Texts to be judged."""

    input: str | list[str | _ModerationPart]
    model: str | None = None


class _Document(msgspec.Struct):
    text: str = ""


class RerankRequest(msgspec.Struct):
    """Documents to be put in order (Cohere's and Jina's shape)."""

    query: str
    documents: list[str | _Document]
    model: str | None = None
    top_n: int | None = None
    return_documents: bool = False


_MODERATIONS = msgspec.json.Decoder(ModerationsRequest)
_RERANK = msgspec.json.Decoder(RerankRequest)


def models(call: ApiCall, state: VendorState) -> Reply:
    """GET models and models/{id}. Raises VendorError."""
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
    """Flags what speaks of killing. Raises VendorError."""
    request = decoded(_MODERATIONS, call)
    model = state.model(call, request.model or "omni-moderation-latest")
    given = [request.input] if isinstance(request.input, str) else request.input
    texts = [each if isinstance(each, str) else each.text or "" for each in given]
    state.admit(call, model, prompt=sum(map(count_tokens, texts)))
    results = [_judged("kill" in text.lower()) for text in texts]
    return json_reply({"id": state.new_id("modr-"), "model": model, "results": results})


def _judged(violent: bool) -> Json:
    flagged = {name: violent and name == "violence" for name in _CATEGORIES}
    return {
        "flagged": violent,
        "categories": flagged,
        "category_scores": {name: 0.98 if flagged[name] else 0.0001 for name in _CATEGORIES},
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }


def rerank(call: ApiCall, state: VendorState) -> Reply:
    """Orders documents by the words that they share with the query. Raises VendorError."""
    request = decoded(_RERANK, call)
    model = state.model(call, request.model)
    texts = [each if isinstance(each, str) else each.text for each in request.documents]
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
    """POST files, and GET, DELETE below it. Raises VendorError."""
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
