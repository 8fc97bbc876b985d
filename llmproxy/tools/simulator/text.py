"""The vendor's words: made from the request alone, so that the same request gets the same answer.

Neither the vendor's name nor its model is in them: an answer through a proxy equals a direct one.
A token is four characters, which is about right for English and easy to check.
"""

from __future__ import annotations

CHARACTERS_PER_TOKEN = 4
MAX_QUOTED = 120  # characters of the question that an answer repeats

_REST = (
    " No model was asked and nothing was charged: these words are made from your message alone,"
    " so the same question gets the same answer."
)
_FILLER = " It goes on for a while, because it was asked to be long."
REFUSAL = "I'm sorry, but I can't help with that."


def count_tokens(text: str) -> int:
    """Tokens of a text."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def tokens_of(text: str) -> list[str]:
    """A text as its tokens; joined they are the text."""
    step = CHARACTERS_PER_TOKEN
    return [text[start : start + step] for start in range(0, len(text), step)]


def answer_to(question: str, *, min_tokens: int | None = None) -> str:
    """The answer to a question, filled up to `min_tokens` if it is shorter."""
    text = f"Hello! This is a simulated answer to “{_quoted(question)}”.{_REST}"
    return _filled(text, min_tokens)


def answer_after_tool(result: str, *, min_tokens: int | None = None) -> str:
    """The answer once a tool has given its result."""
    return _filled(f"This is a simulated answer: the tool said “{_quoted(result)}”.", min_tokens)


def _quoted(text: str) -> str:
    words = " ".join(text[: MAX_QUOTED * 4].split())
    return words if len(words) <= MAX_QUOTED else words[: MAX_QUOTED - 1] + "…"


def _filled(text: str, min_tokens: int | None) -> str:
    wanted = (min_tokens or 0) * CHARACTERS_PER_TOKEN
    missing = wanted - len(text)
    if missing <= 0:
        return text
    return (text + _FILLER * (missing // len(_FILLER) + 1))[:wanted]
