"""List prices of models, where the config gives none."""

from __future__ import annotations

from llmproxy.config import Price


def list_price(provider: str, model: str) -> Price | None:
    """The list price of a provider's model; None if it is not known."""
    del provider, model
    return None
