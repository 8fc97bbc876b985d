"""Thinking in chat messages: `reasoning_details`, as OpenRouter writes it, and its older forms.

Source: OpenRouter's documentation, "Reasoning tokens", "Preserving reasoning blocks" and
"reasoning_details array structure"; DeepSeek's API docs, "Thinking mode".

OpenAI's clients keep what they do not know of a message only if they send it back whole. A client
that does not gives the model no thinking of earlier turns: the vendors take that (Anthropic then
goes on without thinking for the rest of the tool loop).
"""

from __future__ import annotations

from collections.abc import Iterator

from llmproxy.batteries.translation.fields import Fields
from llmproxy.batteries.translation.hub import Thinking

ANTHROPICS = "anthropic-claude-v1"
OPENAIS = "openai-responses-v1"


def read_thinking(message: Fields) -> Iterator[Thinking]:
    """Yield the thinking of an assistant's message; its details count, if it has any."""
    plain = message.text("reasoning_content"), message.text("reasoning")
    path, has_details = message.at("reasoning_details"), False
    for detail in message.objects("reasoning_details"):
        has_details = True
        yield _of_detail(detail)
    text = next((text for text in plain if text), None)
    if text is not None and not has_details:
        yield Thinking(text=text, path=path)


def _of_detail(detail: Fields) -> Thinking:
    kind, form, path = detail.text("type"), detail.text("format"), detail.path
    text = detail.text("text") or detail.text("summary") or ""
    signature, data, detail_id = detail.text("signature"), detail.text("data"), detail.text("id")
    detail.take("index")
    if kind not in ("reasoning.text", "reasoning.summary", "reasoning.encrypted"):
        detail.not_carried()
    detail.end()
    if data is not None and form == ANTHROPICS:
        return Thinking(redacted=data, path=path)
    if data is not None:
        return Thinking(text=text, encrypted=data, id=detail_id, path=path)
    return Thinking(text=text, signature=signature or None, id=detail_id, path=path)


def details_of(thinking: Thinking, index: int) -> dict[str, object]:
    """Return thinking as an item of `reasoning_details`."""
    if thinking.redacted is not None:
        detail: dict[str, object] = {"type": "reasoning.encrypted", "data": thinking.redacted}
        return {**detail, "format": ANTHROPICS, "index": index}
    if thinking.encrypted is not None:
        detail = {"type": "reasoning.encrypted", "data": thinking.encrypted}
        detail |= {} if thinking.id is None else {"id": thinking.id}
        detail |= {"text": thinking.text} if thinking.text else {}
        return {**detail, "format": OPENAIS, "index": index}
    detail = {"type": "reasoning.text", "text": thinking.text}
    if thinking.signature is not None:
        detail |= {"signature": thinking.signature, "format": ANTHROPICS}
    return {**detail, "index": index}
