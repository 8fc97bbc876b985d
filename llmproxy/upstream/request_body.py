"""How the body of a request is sent, and whether all of it has been.

A body that is held in memory is given to the transport at once; one that still arrives from the
client is sent by a task, at the origin's pace.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from llmproxy.errors import GatewayError
from llmproxy.streams import Upload


class BodyOnItsWay(Protocol):
    """The request body of one exchange. It pauses while the transport's buffer is full."""

    complete: bool

    def pause(self) -> None:
        """The transport's buffer is full."""

    def resume(self) -> None:
        """The transport's buffer has room again."""

    def cancel(self) -> None:
        """The connection is closed."""


class BufferedBody:
    """A large body in the transport's buffer.

    `complete`: the buffer is nearly empty; what is left of it is as good as sent.
    """

    __slots__ = ("complete",)

    def __init__(self) -> None:
        self.complete = True

    def pause(self) -> None:
        """The transport's buffer is full."""
        self.complete = False

    def resume(self) -> None:
        """The transport's buffer has room again."""
        self.complete = True

    def cancel(self) -> None:
        """Nothing runs."""


class UploadTask:
    """Sends a request body while it arrives from the client, at the origin's pace."""

    __slots__ = ("_loop", "_task", "_writable", "_write", "complete")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        body: Upload,
        write: Callable[[bytes], None],
        on_failure: Callable[[GatewayError], None],
    ) -> None:
        self._loop = loop
        self._write = write
        self._writable: asyncio.Future[None] | None = None  # while the transport's buffer is full
        self.complete = False
        self._task = loop.create_task(self._send(body, on_failure))

    async def _send(self, body: Upload, on_failure: Callable[[GatewayError], None]) -> None:
        chunked = body.length is None
        try:
            async for chunk in body.chunks():
                self._write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
                if self._writable is not None:
                    await self._writable
            if chunked:
                self._write(b"0\r\n\r\n")
        except GatewayError as failure:  # the client stopped sending
            on_failure(failure)
        else:
            self.complete = True

    def pause(self) -> None:
        """Stop sending: the transport's buffer is full."""
        self._writable = self._loop.create_future()

    def resume(self) -> None:
        """Send again."""
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    def cancel(self) -> None:
        """Stop for good."""
        self._task.cancel()
        self.resume()
