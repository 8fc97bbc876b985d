"""Streams of many vendors' forms, of texts whose tokens a real tokenizer has counted."""

import json
from random import Random

from tests.token_estimates.bodies import calls

# What OpenAI's cookbook adds to the tokens of the texts: for each message, and for the answer.
PER_MESSAGE, PER_CALL = 4, 3
STYLES = ("questions", "german", "chinese", "code")


def written(*styles, seed=0):
    """(text, tokens) of texts of these styles, shuffled."""
    for body, _, tokens in calls(*styles, seed=seed):
        messages = json.loads(body).get("messages", [])
        texts = [turn["content"] for turn in messages]
        if texts and all(isinstance(text, str) for text in texts):
            yield "".join(texts), tokens - PER_MESSAGE * len(texts) - PER_CALL


def pieces(text, tokens, size, draw):
    """Cut a text: into as many pieces as tokens, or into pieces of about so many characters."""
    if size is None:
        ends = [round(len(text) * number / tokens) for number in range(tokens + 1)]
        return [text[start:end] for start, end in zip(ends, ends[1:], strict=False)]
    found, at = [], 0
    while at < len(text):
        end = at + draw.randint(1, 2 * size)
        found.append(text[at:end])
        at = end
    return found


def event(payload, name=None):
    line = "" if name is None else f"event: {name}\n"
    return f"{line}data: {json.dumps(payload, ensure_ascii=False)}\n\n".encode()


def _openai(piece, draw):
    chunk = {
        **{"id": "chatcmpl-CYj2pmKWZ1xh6yzYk1", "object": "chat.completion.chunk"},
        **{"created": 1764000000, "model": "gpt-4.1-2025-04-14", "service_tier": "default"},
        "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}],
        "obfuscation": "x" * draw.randint(1, 16),
    }
    return event(chunk)


def _short(piece, draw):
    return event({"choices": [{"index": 0, "delta": {"content": piece}}]})


def _messages(piece, draw):
    delta = {"type": "text_delta", "text": piece}
    return event({"type": "content_block_delta", "index": 0, "delta": delta}, "content_block_delta")


def _responses(piece, draw):
    name = "response.output_text.delta"
    where = {"item_id": "msg_67c9fdcf37fc8190ba82116e33fb28c5", "output_index": 0}
    return event({"type": name, "sequence_number": 7, **where, "delta": piece}, name)


# The form of an event, the characters of a piece (None: a token), the family of the operation.
FORMS = {
    "openai": (_openai, None, "chat"),
    "vllm": (_short, None, "chat"),
    "gemini": (_openai, 150, "chat"),
    "messages": (_messages, 18, "messages"),
    "responses": (_responses, None, "responses"),
}


def streams(form, *styles, seed=0):
    """(bytes of a stream without usage, its tokens) of each text."""
    write, size, _ = FORMS[form]
    draw = Random(seed)
    for text, tokens in written(*styles, seed=seed):
        events = [write(piece, draw) for piece in pieces(text, tokens, size, draw)]
        yield b"".join(events), tokens
