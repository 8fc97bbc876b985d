"""Thinking in messages: Anthropic's own, and other vendors' under a seal of ours.

A client of messages sends thinking blocks back unchanged, so what OpenAI needs to have back (the
`encrypted_content` of a reasoning item, and its id) travels in the signature.
"""

from __future__ import annotations

from llmproxy.batteries.translation.hub import Thinking

_SEAL = "llmproxy.openai."  # no signature of Anthropic's has a dot


def sealed(thinking: Thinking) -> str:
    """Return the signature of a thinking block."""
    if thinking.encrypted is not None:
        return f"{_SEAL}{thinking.id or ''}.{thinking.encrypted}"
    return thinking.signature or ""


def unsealed(text: str, signature: str, path: str) -> Thinking:
    """Return what a thinking block was made of."""
    if signature.startswith(_SEAL):
        thinking_id, _, encrypted = signature.removeprefix(_SEAL).partition(".")
        return Thinking(text=text, encrypted=encrypted, id=thinking_id or None, path=path)
    return Thinking(text=text, signature=signature or None, path=path)


def block_of(thinking: Thinking) -> dict[str, object]:
    """Return thinking as a content block."""
    if thinking.redacted is not None:
        return {"type": "redacted_thinking", "data": thinking.redacted}
    return {"type": "thinking", "thinking": thinking.text, "signature": sealed(thinking)}
