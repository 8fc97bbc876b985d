"""Which function answers which operation."""

from __future__ import annotations

from collections.abc import Callable

from llmproxy.simulator.chat import chat_completion
from llmproxy.simulator.desk import Desk, no_such_path
from llmproxy.simulator.embeddings import embeddings
from llmproxy.simulator.exchange import Ask, Reply

Operation = Callable[[Ask, Desk], Reply]

POSTS: dict[str, Operation] = {
    "chat/completions": chat_completion,
    "embeddings": embeddings,
}


def answer_ask(ask: Ask, desk: Desk) -> Reply:
    """The reply to a request. Raises VendorError."""
    if ask.method == "POST" and (operation := POSTS.get(ask.operation)) is not None:
        return operation(ask, desk)
    raise no_such_path(ask)
