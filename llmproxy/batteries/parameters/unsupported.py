"""What vendors are known to refuse, by provider and model, for `drop_unsupported`. Pure.

Only parameters whose refusal the vendor documents, and only at the top level of a body. Sources:
docs/project/upstreams.md, "Parameters that are refused".
"""

from __future__ import annotations

import re

import msgspec

from llmproxy.config import ModelEntry
from llmproxy.providers.base import Endpoint


class Unsupported(msgspec.Struct, frozen=True):
    """What an endpoint refuses, and other names under which it takes parameters."""

    drop: tuple[str, ...] = ()
    rename: tuple[tuple[str, str], ...] = ()


NOTHING = Unsupported()
_GROQ = Unsupported(("logprobs", "logit_bias", "top_logprobs"))
_REASONING = Unsupported(
    (
        *("temperature", "top_p", "presence_penalty", "frequency_penalty"),
        *("logprobs", "top_logprobs", "logit_bias"),
    ),
    (("max_tokens", "max_completion_tokens"),),
)
# Not gpt-5.1 and later, nor gpt-5-chat, of which this is not confirmed.
_REASONS = re.compile(r"(o[134]|gpt-5)(-mini|-nano|-preview|-pro)?(-\d{4}-\d\d-\d\d)?")
_OF_OPENAI = ("openai", "azure", "azure-classic")


def unsupported_by(endpoint: Endpoint) -> Unsupported:
    """Return what the provider and the model of an endpoint are known to refuse."""
    provider = endpoint.provider.name
    if provider == "groq":
        return _GROQ
    if provider in _OF_OPENAI and _REASONS.fullmatch(endpoint.model or endpoint.group):
        return _REASONING
    return NOTHING


def left_to(entry: ModelEntry, unsupported: Unsupported) -> Unsupported:
    """Return the part of it that the entry itself says nothing about: what it says counts."""
    given = {*entry.drop, *entry.overrides, *entry.defaults}
    return Unsupported(
        tuple(name for name in unsupported.drop if name not in given | set(entry.rename)),
        tuple(
            (old, new) for old, new in unsupported.rename if old not in given | set(entry.rename)
        ),
    )
