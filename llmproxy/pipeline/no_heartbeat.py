"""What a client sees while it waits for its answer, where no battery shows it more: nothing."""

from __future__ import annotations

from llmproxy.calls import Call
from llmproxy.errors import UpstreamError
from llmproxy.protocols import Client
from llmproxy.record import CallRecord


class NotShown:
    """Yields a client that sees nothing before its answer."""

    __slots__ = ("_client",)

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __aenter__(self) -> Client:
        return self._client

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, UpstreamError):
            await complete(error)


class NoHeartbeat:
    """Implements `Heartbeat`: shows no client anything."""

    __slots__ = ()

    def during(self, _call: Call, client: Client, _record: CallRecord) -> NotShown:
        """Return a context manager that yields the client."""
        return NotShown(client)


async def complete(error: UpstreamError) -> None:
    """Wait for the rest of a failed answer, which the client gets."""
    if error.answer is not None:
        error.answer = await error.answer.whole()
