"""The simulator with more operations: moderations, rerank, files, audio and images.

The simulator serves what people try a proxy with; the tests with real clients need the rest.
"""

from contextlib import asynccontextmanager

import msgspec

from llmproxy.tools.simulator.completion import TextPart, count_tokens
from llmproxy.tools.simulator.errors import VendorError
from llmproxy.tools.simulator.exchange import Reply, json_reply
from llmproxy.tools.simulator.flavours import no_such_path
from llmproxy.tools.simulator.operations import OPERATIONS
from llmproxy.tools.simulator.state import decoded
from llmproxy.tools.simulator.vendor import serve
from tests.support.media import edited_images, generated_images, read_form, speech, transcription

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


def moderations(call, state):
    """Flag texts that contain "kill". Raises VendorError."""
    request = decoded(ModerationsRequest, call)
    model = state.model(call, request.model or "omni-moderation-latest")
    given = [request.input] if isinstance(request.input, str) else request.input
    texts = [item if isinstance(item, str) else item.text or "" for item in given]
    state.admit(call, model, prompt=sum(map(count_tokens, texts)))
    results = [_moderation("kill" in text.lower()) for text in texts]
    return json_reply({"id": state.new_id("modr-"), "model": model, "results": results})


def _moderation(violent):
    names = _CATEGORIES.split()
    flagged = {name: violent and name == "violence" for name in names}
    return {
        "flagged": violent,
        "categories": flagged,
        "category_scores": {name: 0.98 if flagged[name] else 0.0001 for name in names},
        "category_applied_input_types": {name: ["text"] for name in names},
    }


def rerank(call, state):
    """Sort documents by the words that they share with the query. Raises VendorError."""
    request = decoded(RerankRequest, call)
    model = state.model(call, request.model)
    texts = [item if isinstance(item, str) else item.text for item in request.documents]
    tokens = count_tokens(request.query) + sum(map(count_tokens, texts))
    state.admit(call, model, prompt=tokens)
    wanted = set(request.query.lower().split())
    scores = [len(wanted & set(text.lower().split())) / max(1, len(wanted) or 1) for text in texts]
    order = sorted(range(len(texts)), key=lambda index: -scores[index])[: request.top_n]
    results = [{"index": index, "relevance_score": round(scores[index], 4)} for index in order]
    usage = {"total_tokens": tokens}
    return json_reply(
        {"id": state.new_id("rerank-"), "model": model, "results": results, "usage": usage}
    )


class Files:
    """The files of one vendor: `files` uploads, lists, reads and deletes them."""

    def __init__(self):
        self._kept = {}  # id -> (description, content)

    def __call__(self, call, state):
        """Answer a call below `files`. Raises VendorError."""
        _, id_, *rest = (*call.operation.split("/"), "")[:3]
        if not id_:
            if call.method == "POST":
                return self._upload(call, state)
            listed = [described for described, _ in self._kept.values()]
            return json_reply({"object": "list", "data": listed, "has_more": False})
        if id_ not in self._kept:
            raise VendorError(404, f"No such File object: {id_}", param="id")
        described, content = self._kept[id_]
        match (call.method, *rest):
            case ("GET", ""):
                return json_reply(described)
            case ("GET", "content"):
                return Reply(200, [(b"content-type", b"application/octet-stream")], content)
            case ("DELETE", ""):
                del self._kept[id_]
                return json_reply({"id": id_, "object": "file", "deleted": True})
        raise no_such_path(call)

    def _upload(self, call, state):
        form = read_form(call)
        file = form.file("file")
        described = {
            "id": state.new_id("file-"),
            "object": "file",
            "bytes": len(file.content),
            "created_at": state.created(),
            "expires_at": None,
            "filename": file.name,
            "purpose": form.fields.get("purpose"),
            "status": "processed",
            "status_details": None,
        }
        self._kept[described["id"]] = (described, file.content)
        return json_reply(described)


@asynccontextmanager
async def serve_full(settings):
    """Run a vendor with all operations in this event loop."""
    operations = {
        **OPERATIONS,
        "POST moderations": moderations,
        "POST rerank": rerank,
        "POST audio/speech": speech,
        "POST audio/transcriptions": transcription,
        "POST audio/translations": transcription,
        "POST images/generations": generated_images,
        "POST images/edits": edited_images,
        "files/": Files(),
    }
    async with serve(settings, operations=operations) as vendor:
        yield vendor
