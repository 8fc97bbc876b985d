"""A client that stands in front of another one, for batteries that change or read an answer."""

from __future__ import annotations

from collections.abc import Callable

from llmproxy.protocols import Client


class ClientInFront:
    """Passes on what a subclass does not change. The subclass adds `start` and `write`, and is a
    Client then."""

    __slots__ = ("_client",)

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def connected(self) -> bool:
        """Whether the client is still connected."""
        return self._client.connected

    @property
    def started(self) -> bool:
        """Whether the status line has been written."""
        return self._client.started

    async def drain(self) -> None:
        """Wait until the client has read enough."""
        await self._client.drain()

    def finish(self) -> None:
        """End the body."""
        self._client.finish()

    def abort(self) -> None:
        """Close without the body's end."""
        self._client.abort()

    def keep_call(self, on_leave: Callable[[], None]) -> None:
        """Let the call go on when the client leaves, and call `on_leave` instead."""
        self._client.keep_call(on_leave)
