"""Which endpoints understand which dialects, and into which one a call is translated. Pure.

Sources: docs/project/upstreams.md, "What endpoints speak".
"""

from __future__ import annotations

import msgspec

from llmproxy.config import ModelEntry
from llmproxy.providers.base import Endpoint

# Into which dialect a call is translated: first the one that most vendors serve best.
_PREFERENCES = {
    "chat": ("responses", "messages"),
    "messages": ("chat", "responses"),
    "responses": ("chat", "messages"),
}
DIALECTS = tuple(_PREFERENCES)
_EVERY = frozenset(DIALECTS)
_OPENAIS = frozenset(("chat", "responses"))
_ANTHROPICS = frozenset(("messages",))
# By the provider's name. At the clouds it depends on the model.
_SPOKEN = {
    "anthropic": _ANTHROPICS,  # its chat path ignores what it does not know
    "deepseek": frozenset(("chat",)),
    **dict.fromkeys(("bedrock", "generic", "openrouter", "vertex"), _EVERY),
    **dict.fromkeys(("llamacpp", "lmstudio", "ollama", "vllm"), _EVERY),
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
    if dialect in speaks or dialect not in DIALECTS:
        return None
    return next((name for name in _PREFERENCES[dialect] if name in speaks), None)


class EndpointDialects(msgspec.Struct, frozen=True):
    """What an endpoint of a group is asked in, and what a call for it may lose.

    `speaks`: the endpoint's dialects. `supposed`: those of them that are not certain; one that it
    turns out not to speak is added to `unspoken`. `drops`: what cannot be said is left out, not
    refused. `native`: the dialects that some endpoint of its group certainly speaks: that endpoint
    may later get what the client sends back.
    """

    endpoint: Endpoint
    speaks: frozenset[str]
    drops: bool
    max_output_tokens: int | None
    native: frozenset[str]
    supposed: frozenset[str]
    unspoken: set[str]

    def __str__(self) -> str:
        pairs = [(name, self.target_of(name)) for name in DIALECTS]
        return "; ".join(f"translates {name} to {to}" for name, to in pairs if to is not None)

    def target_of(self, dialect: str) -> str | None:
        """Return the dialect that a call is translated into; None if it goes as it is."""
        return target_of(dialect, self.speaks - self.unspoken)
