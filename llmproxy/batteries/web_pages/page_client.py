"""The client of a web page of another origin: each answer says that the page may read it."""

from __future__ import annotations

from asyncio import BaseProtocol
from collections.abc import Callable
from typing import Any, cast

from llmproxy.batteries.client_in_front import ClientInFront
from llmproxy.batteries.web_pages.origins import readable_by
from llmproxy.calls import Headers
from llmproxy.protocols import Client


class PageClient(ClientInFront):
    """A client that is a web page: `start` adds headers."""

    __slots__ = ("_origin", "write")

    def __init__(self, client: Client, origin: bytes) -> None:
        super().__init__(client)
        self._origin = origin
        self.write = client.write

    def start(self, status: int, headers: Headers, *, length: int | None) -> None:
        """Begin the answer, readable by the page."""
        self._client.start(status, readable_by(self._origin, headers), length=length)

    def upgrade(self, protocol: BaseProtocol, on_drain: Callable[[], None]) -> Any:
        """Let another protocol go on: see `ResponseWriter.upgrade`. No page reads its headers."""
        return cast("Any", self._client).upgrade(protocol, on_drain)
