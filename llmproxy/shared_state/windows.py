"""The shared windows: all asks of a tick in one round trip (window.lua says how they count)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llmproxy.shared_state.address import Client, Script
from llmproxy.shared_state.quota import SLOT_S, QuotaReply, QuotaRequest

SLOT_MS = int(SLOT_S * 1000)
FIELDS = 6  # of an answer


class WindowReplies(msgspec.Struct, frozen=True):
    """A grant for each ask, in order; and how many instances are there, if that was asked."""

    instances: int | None
    replies: list[QuotaReply]


class WindowClient:
    """Speaks for one instance. `now_ms`: None = the server's own clock decides."""

    def __init__(self, client: Client, namespace: str, instance: str, window_slots: int) -> None:
        self._client = client
        self._instance = instance
        self._window_slots = window_slots
        # One hash slot for all keys: a script of a cluster may touch no other.
        self._present = f"{{{namespace}}}:present"
        self._prefix = f"{{{namespace}}}:window:"
        self._script = Script("window.lua")

    async def exchange(
        self, asks: Sequence[tuple[str, QuotaRequest]], *, count: bool, now_ms: int | None = None
    ) -> WindowReplies:
        """Ask for each capacity by its key. Raises whatever redis-py raises."""
        keys = [self._present, *(self._prefix + key for key, _ in asks)]
        args: list[str | int] = ["" if now_ms is None else now_ms, SLOT_MS, self._window_slots]
        args += [self._instance, int(count)]
        for _, ask in asks:
            args += _as_args(ask)
        told = await self._script.run(self._client, keys, args)
        return WindowReplies(
            told[0] if told[0] >= 0 else None,
            [_grant(told[i : i + FIELDS]) for i in range(1, len(told), FIELDS)],
        )

    async def ping(self) -> None:
        """Ask the node of a cluster that has the windows, or the only one, whether it answers.
        Raises whatever redis-py raises."""
        await self._client.zscore(self._present, self._instance)

    async def leave(self) -> None:
        """This instance is going. Raises whatever redis-py raises."""
        await self._client.zrem(self._present, self._instance)


def _as_args(ask: QuotaRequest) -> list[str | int]:
    burst = ask.burst
    args: list[str | int] = [
        -1 if ask.rpm is None else ask.rpm,
        -1 if ask.tpm is None else ask.tpm,
        burst.requests if burst else 0,
        burst.slots if burst else 0,
        ask.instances,
        ask.epoch,
        int(ask.waiting),
        ask.need_requests,
        ask.need_tokens,
        ask.want_requests,
        ask.want_tokens,
        len(ask.reports),
    ]
    for report in ask.reports:
        args += (report.age_slots, report.requests, report.tokens)
    return args


def _grant(fields: Sequence[bytes | int]) -> QuotaReply:
    epoch, lost, requests, tokens, has_room, wait_ms = fields
    return QuotaReply(
        epoch=bytes(epoch).decode() if isinstance(epoch, bytes) else str(epoch),
        lost=bool(lost),
        requests=int(requests),
        tokens=int(tokens),
        has_room=bool(has_room),
        wait_s=int(wait_ms) / 1000.0,
    )
