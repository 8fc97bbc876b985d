"""A whole answer of a model, and the error of an endpoint that cannot answer."""

from __future__ import annotations

from enum import Enum

import msgspec

from llmproxy.batteries.translation.hub.parts import PlainText, Refusal, Thinking, ToolCall


class FinishReason(Enum):
    """Why the answer ended."""

    DONE = "done"  # the model ended its answer, or reached a text of `Question.stop`
    TOOL_CALLS = "tool calls"
    OUTPUT_LIMIT = "output limit"  # the client's bound, or the model's
    CONTEXT_FULL = "context full"
    REFUSED = "refused"  # by the model or by a filter
    PAUSED = "paused"  # Anthropic: the client may send it back to have it continued


class AnswerTokens(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens of an answer, as the vendor counted them.

    Attributes:
        input: All of the prompt, those read from and written to a cache included.
        output: All that was written, thinking included.
        cache_read: Input tokens that came from the vendor's cache.
        cache_written: Input tokens that were put into it.
        reasoning: Output tokens that the model thought; None = not told.
    """

    input: int
    output: int
    cache_read: int = 0
    cache_written: int = 0
    reasoning: int | None = None


class ModelAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer.

    Attributes:
        id: The vendor's, unchanged.
        model: The vendor's name for the model that answered.
        stop_text: The text of `Question.stop` that ended it; None = not told, or none did.
        created: Unix seconds; None = not told.
    """

    id: str
    model: str
    parts: tuple[PlainText | ToolCall | Thinking | Refusal, ...]
    finish: FinishReason
    stop_text: str | None = None
    tokens: AnswerTokens | None = None
    created: int | None = None


class ModelFailure(msgspec.Struct, frozen=True, kw_only=True):
    """An error that an endpoint answers with, or ends its stream with.

    Attributes:
        status: The HTTP status; of an event in a stream, the one that stands for its type.
        message: The vendor's words.
        kind: The vendor's type of it, such as `rate_limit_error`; "" = not told.
        code: Its code, such as `context_length_exceeded`; None = not told.
        param: The member of the request that it is about; None = not told.
    """

    status: int
    message: str
    kind: str = ""
    code: str | None = None
    param: str | None = None
