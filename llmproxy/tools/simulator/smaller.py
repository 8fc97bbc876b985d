"""The smaller operations: models, moderations, rerank, files."""

from __future__ import annotations

from urllib.parse import unquote

import msgspec

from llmproxy.tools.simulator.desk import Desk, StoredFile, decoded, keep, no_such_path
from llmproxy.tools.simulator.errors import VendorError, known_error
from llmproxy.tools.simulator.exchange import Ask, Json, Reply, json_reply
from llmproxy.tools.simulator.forms import read_form
from llmproxy.tools.simulator.settings import USUAL_MODELS
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


class _Part(msgspec.Struct):
    type: str = "text"
    text: str | None = None


class ModerationsRequest(msgspec.Struct):
    """Texts to be judged."""

    input: str | list[str | _Part]
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


def models(ask: Ask, desk: Desk) -> Reply:
    """GET models and models/{id}. Raises VendorError."""
    _, _, wanted = ask.operation.partition("/")
    known = desk.settings.models or USUAL_MODELS
    if ask.method not in ("GET", "HEAD"):
        raise no_such_path(ask)
    if not wanted:
        return json_reply({"object": "list", "data": [_model(name) for name in known]})
    name = unquote(wanted)
    if name not in known:
        text = f"The model '{name}' does not exist"
        raise known_error(404, "model_not_found", text)
    return json_reply(_model(name))


def _model(name: str) -> Json:
    return {"id": name, "object": "model", "created": MODEL_CREATED, "owned_by": "simulator"}


def moderations(ask: Ask, desk: Desk) -> Reply:
    """Flags what speaks of killing. Raises VendorError."""
    request = decoded(_MODERATIONS, ask)
    model = desk.model(ask, request.model or "omni-moderation-latest")
    given = [request.input] if isinstance(request.input, str) else request.input
    texts = [each if isinstance(each, str) else each.text or "" for each in given]
    desk.admit(ask, model, prompt=sum(map(count_tokens, texts)))
    results = [_judged("kill" in text.lower()) for text in texts]
    return json_reply({"id": desk.new_id("modr-"), "model": model, "results": results})


def _judged(violent: bool) -> Json:
    flagged = {name: violent and name == "violence" for name in _CATEGORIES}
    return {
        "flagged": violent,
        "categories": flagged,
        "category_scores": {name: 0.98 if flagged[name] else 0.0001 for name in _CATEGORIES},
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }


def rerank(ask: Ask, desk: Desk) -> Reply:
    """Orders documents by the words that they share with the query. Raises VendorError."""
    request = decoded(_RERANK, ask)
    model = desk.model(ask, request.model)
    texts = [each if isinstance(each, str) else each.text for each in request.documents]
    tokens = count_tokens(request.query) + sum(map(count_tokens, texts))
    desk.admit(ask, model, prompt=tokens)
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
        {"id": desk.new_id("rerank-"), "model": model, "results": results, "usage": usage}
    )


def files(ask: Ask, desk: Desk) -> Reply:
    """POST files, and GET, DELETE below it. Raises VendorError."""
    _, id_, *rest = (*ask.operation.split("/"), "")[:3]
    if not id_:
        if ask.method == "POST":
            return _upload(ask, desk)
        listed = [file.described for file in desk.files.values()]
        return json_reply({"object": "list", "data": listed, "has_more": False})
    file = desk.files.get(id_)
    if file is None:
        raise VendorError(404, f"No such File object: {id_}", param="id")
    match (ask.method, rest[0]):
        case ("GET", ""):
            return json_reply(file.described)
        case ("GET", "content"):
            return Reply(200, [(b"content-type", b"application/octet-stream")], file.content)
        case ("DELETE", ""):
            del desk.files[id_]
            return json_reply({"id": id_, "object": "file", "deleted": True})
    raise no_such_path(ask)


def _upload(ask: Ask, desk: Desk) -> Reply:
    form = read_form(ask)
    file = form.file("file")
    purpose = form.fields.get("purpose")
    if not purpose:
        raise VendorError(400, "Missing required parameter: 'purpose'.", param="purpose")
    id_ = desk.new_id("file-")
    described: Json = {
        "id": id_,
        "object": "file",
        "bytes": len(file.content),
        "created_at": desk.created(),
        "expires_at": None,
        "filename": file.name,
        "purpose": purpose,
        "status": "processed",
        "status_details": None,
    }
    keep(desk.files, id_, StoredFile(described, file.content))
    return json_reply(described)
