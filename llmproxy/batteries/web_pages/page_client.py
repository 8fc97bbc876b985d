"""The client of a web page of another origin: each answer says that the page may read it."""

from __future__ import annotations

from asyncio import BaseProtocol
from collections.abc import Callable
from typing import Any, cast

from llmproxy.batteries.web_pages.origins import readable_by
from llmproxy.calls import Headers
from llmproxy.protocols import Client


class PageClient:
    """A client that is a web page. Implements `Client`: `start` adds headers."""

    __slots__ = ("_client", "_origin", "abort", "drain", "finish", "write")

    def __init__(self, client: Client, origin: bytes) -> None:
        self._client = client
        self._origin = origin
        self.write = client.write
        self.drain = client.drain
        self.finish = client.finish
        self.abort = client.abort

    @property
    def connected(self) -> bool:
        """Whether the client is still connected."""
        return self._client.connected

    @property
    def started(self) -> bool:
        """Whether the answer has begun."""
        return self._client.started

    def start(self, status: int, headers: Headers, *, length: int | None) -> None:
        """Begin the answer, readable by the page."""
        self._client.start(status, readable_by(self._origin, headers), length=length)

    def upgrade(self, protocol: BaseProtocol, on_drain: Callable[[], None]) -> Any:
        """Let another protocol go on: see `ResponseWriter.upgrade`. No page reads its headers."""
        return cast("Any", self._client).upgrade(protocol, on_drain)

    def keep_call(self, on_leave: Callable[[], None]) -> None:
        """Let the call go on when the client leaves, and call `on_leave` instead."""
        self._client.keep_call(on_leave)
