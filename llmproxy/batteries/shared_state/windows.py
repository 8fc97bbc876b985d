"""The client of the shared windows: all requests of a tick in one round trip.

window.lua is the other side: it says how a window counts and grants.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llmproxy.batteries.shared_state.address import Client, Script
from llmproxy.batteries.shared_state.quota import SLOT_S, QuotaReply, QuotaRequest

SLOT_MS = int(SLOT_S * 1000)
FIELDS = 6  # of a reply


class WindowReplies(msgspec.Struct, frozen=True):
    """A reply to each request, in order. `instances`: how many are alive; None = not counted."""

    instances: int | None
    replies: list[QuotaReply]


class WindowClient:
    """Sends the requests of one instance."""

    def __init__(self, client: Client, namespace: str, instance: str, window_slots: int) -> None:
        self._client = client
        self._instance = instance
        self._window_slots = window_slots
        # In a cluster, a script may touch only keys of one hash slot: the braces put all into one.
        self._present = f"{{{namespace}}}:present"
        self._prefix = f"{{{namespace}}}:window:"
        self._script = Script("window.lua")

    async def exchange(
        self,
        requests: Sequence[tuple[str, QuotaRequest]],
        *,
        count: bool,
        now_ms: int | None = None,
    ) -> WindowReplies:
        """Send requests, each with the key of its window. Raises what redis-py raises.

        `count`: say that this instance is alive, and count the instances. `now_ms`: Unix time;
        None = the clock of the server decides.
        """
        keys = [self._present, *(self._prefix + key for key, _ in requests)]
        args: list[str | int] = ["" if now_ms is None else now_ms, SLOT_MS, self._window_slots]
        args += [self._instance, int(count)]
        for _, request in requests:
            args += _as_args(request)
        reply = await self._script.run(self._client, keys, args)
        return WindowReplies(
            reply[0] if reply[0] >= 0 else None,
            [_as_reply(reply[i : i + FIELDS]) for i in range(1, len(reply), FIELDS)],
        )

    async def ping(self) -> None:
        """Probe the server (or the node with the windows). Raises what redis-py raises."""
        await self._client.zscore(self._present, self._instance)

    async def leave(self) -> None:
        """Remove this instance from those alive. Raises what redis-py raises."""
        await self._client.zrem(self._present, self._instance)


def _as_args(request: QuotaRequest) -> list[str | int]:
    burst = request.burst
    args: list[str | int] = [
        -1 if request.rpm is None else request.rpm,
        -1 if request.tpm is None else request.tpm,
        burst.requests if burst else 0,
        burst.slots if burst else 0,
        request.instances,
        request.epoch,
        int(request.waiting),
        request.need_requests,
        request.need_tokens,
        request.want_requests,
        request.want_tokens,
        len(request.reports),
    ]
    for report in request.reports:
        args += (report.age_slots, report.requests, report.tokens)
    return args


def _as_reply(fields: Sequence[bytes | int]) -> QuotaReply:
    epoch, lost, requests, tokens, has_room, wait_ms = fields
    return QuotaReply(
        epoch=bytes(epoch).decode() if isinstance(epoch, bytes) else str(epoch),
        lost=bool(lost),
        requests=int(requests),
        tokens=int(tokens),
        has_room=bool(has_room),
        wait_s=int(wait_ms) / 1000.0,
    )
