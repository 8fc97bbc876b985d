"""The rest of an answer whose beginning already was a failure.

The call goes on elsewhere at once. If no other endpoint can answer, the client gets the failed
answer whole (docs/decisions/004-what-is-held-back.md), so its rest is read meanwhile.
"""

from __future__ import annotations

import asyncio
from time import monotonic

from llmproxy.errors import UpstreamError
from llmproxy.streams import UpstreamResponse

# A failed answer is read whole so that it can be passed on unchanged; no vendor's is longer.
MAX_FAILURE_BYTES = 1024 * 1024
FAILURE_TIMEOUT_S = 10.0


class UnreadRest:
    """Reads the rest of a response, and closes the response then. Many may await it."""

    # The event loop itself holds its tasks only weakly. Each ends within FAILURE_TIMEOUT_S.
    _reading: set[asyncio.Task[bytes]] = set()  # noqa: RUF012 - of all of them

    __slots__ = ("_task",)

    def __init__(self, response: UpstreamResponse) -> None:
        self._task = asyncio.create_task(_rest_of(response))
        self._reading.add(self._task)
        self._task.add_done_callback(self._reading.discard)

    async def after(self, beginning: bytes) -> bytes:
        """Return both, as far as the rest came in time."""
        return beginning + await asyncio.shield(self._task)


async def read_into(body: bytearray, response: UpstreamResponse) -> None:
    """Read a failed answer, as far as one is kept. Raises UpstreamError; what came is in `body`."""
    until = monotonic() + FAILURE_TIMEOUT_S
    while len(body) <= MAX_FAILURE_BYTES and (chunk := await response.chunk(until)):
        body += chunk


async def _rest_of(response: UpstreamResponse) -> bytes:
    rest = bytearray()
    try:
        await read_into(rest, response)
    except UpstreamError:
        pass  # what came is passed on
    finally:
        response.close()
    return bytes(rest)
