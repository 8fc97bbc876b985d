"""Limits and endpoint states that all instances share through a Redis or Valkey server.

The door of this battery is `Connector`; redis-py is imported only when a config names a server.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from llmproxy.batteries.settings import full, server_settings, shares_state
from llmproxy.config import GeneralSettings
from llmproxy.protocols import Peers

__all__ = ["Connector"]


class Connector:
    """Connects to the other instances (a `PeerConnector`)."""

    def opened_with(self, settings: GeneralSettings) -> object:
        """Return the settings that a connection is made with; None = no server is configured."""
        settings = full(settings)
        return server_settings(settings) if shares_state(settings) else None

    def open(self, settings: GeneralSettings) -> AbstractAsyncContextManager[Peers]:
        """Connect. Raises ConfigError if redis-py cannot use the address."""
        from llmproxy.batteries.shared_state.opening import open_shared_state  # noqa: PLC0415 - imports redis

        return open_shared_state(full(settings))
