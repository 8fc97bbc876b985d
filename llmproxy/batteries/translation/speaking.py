"""Which endpoints understand which dialects, and into which one a call is translated. Pure.

Sources: docs/project/upstreams.md, "What endpoints speak".
"""

from __future__ import annotations

from llmproxy.batteries.translation.languages import LANGUAGES
from llmproxy.config import ModelEntry
from llmproxy.providers.base import Endpoint

_EVERY = frozenset(LANGUAGES)
_OPENAIS = frozenset(("chat", "responses"))
_ANTHROPICS = frozenset(("messages",))
# By the provider's name. At the clouds it depends on the model.
_SPOKEN = {
    "anthropic": _ANTHROPICS,  # its chat path ignores what it does not know
    "deepseek": frozenset(("chat",)),
    **dict.fromkeys(("bedrock", "generic", "openrouter", "vertex"), _EVERY),
    **dict.fromkeys(("llamacpp", "lmstudio", "ollama", "vllm"), _EVERY),
}
# Into which dialect a call is translated: first the one that most vendors serve best.
_PREFERENCES = {
    "chat": ("responses", "messages"),
    "messages": ("chat", "responses"),
    "responses": ("chat", "messages"),
}


def spoken_by(entry: ModelEntry, endpoint: Endpoint) -> frozenset[str]:
    """Return the dialects that an endpoint is asked in."""
    if entry.speaks is not None:
        return frozenset(entry.speaks)
    if b"anthropic" in endpoint.prefix:
        return _ANTHROPICS  # a vendor's own copy of Anthropic's API, beside its other one
    return _SPOKEN.get(endpoint.provider.name, _OPENAIS)


def supposed_of(entry: ModelEntry, endpoint: Endpoint) -> frozenset[str]:
    """Return the dialects that an endpoint may speak, without certainty.

    A server that is not recognised speaks chat; whether it speaks others shows when it is asked
    (unspoken.py).
    """
    known = entry.speaks is not None or endpoint.provider.name != "generic"
    return frozenset() if known else spoken_by(entry, endpoint) - {"chat"}


def target_of(dialect: str, speaks: frozenset[str]) -> str | None:
    """Return the dialect that a call is translated into; None if it goes as it is."""
    if dialect in speaks or dialect not in LANGUAGES:
        return None
    return next((name for name in _PREFERENCES[dialect] if name in speaks), None)
