"""Which function answers which operation."""

from __future__ import annotations

from collections.abc import Callable

from llmproxy.tools.simulator.audio import speech, transcription
from llmproxy.tools.simulator.chat import chat_completion
from llmproxy.tools.simulator.completions import text_completion
from llmproxy.tools.simulator.embeddings import embeddings
from llmproxy.tools.simulator.exchange import ApiCall, Reply
from llmproxy.tools.simulator.pictures import edited_images, generated_images
from llmproxy.tools.simulator.responses import create_response, stored_response
from llmproxy.tools.simulator.smaller import files, models, moderations, rerank
from llmproxy.tools.simulator.state import VendorState, no_such_path

Operation = Callable[[ApiCall, VendorState], Reply]

POSTS: dict[str, Operation] = {
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

# By the first segment of the path; these look at method and ids themselves.
RESOURCES: dict[str, Operation] = {
    "models": models,
    "files": files,
    "responses": stored_response,
}


def answer_call(call: ApiCall, state: VendorState) -> Reply:
    """The reply to a request. Raises VendorError."""
    if (operation := POSTS.get(call.operation)) is not None:
        if call.method == "POST":
            return operation(call, state)
        raise no_such_path(call)
    resource = RESOURCES.get(call.operation.partition("/")[0])
    if resource is None:
        raise no_such_path(call)
    return resource(call, state)
