"""Which function answers which operation."""

from __future__ import annotations

from collections.abc import Callable

from llmproxy.tools.simulator.audio import speech, transcription
from llmproxy.tools.simulator.chat import chat_completion
from llmproxy.tools.simulator.completions import completion
from llmproxy.tools.simulator.desk import Desk, no_such_path
from llmproxy.tools.simulator.embeddings import embeddings
from llmproxy.tools.simulator.exchange import Ask, Reply
from llmproxy.tools.simulator.pictures import edited_images, generated_images
from llmproxy.tools.simulator.responses import create_response, stored_response
from llmproxy.tools.simulator.smaller import files, models, moderations, rerank

Operation = Callable[[Ask, Desk], Reply]

POSTS: dict[str, Operation] = {
    "chat/completions": chat_completion,
    "completions": completion,
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


def answer_ask(ask: Ask, desk: Desk) -> Reply:
    """The reply to a request. Raises VendorError."""
    if (operation := POSTS.get(ask.operation)) is not None:
        if ask.method == "POST":
            return operation(ask, desk)
        raise no_such_path(ask)
    resource = RESOURCES.get(ask.operation.partition("/")[0])
    if resource is None:
        raise no_such_path(ask)
    return resource(ask, desk)
