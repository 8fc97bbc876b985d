"""A store: where answers are kept for longer than a process lives, or for other instances too.

It keeps bytes and judges nothing: what they mean is said in cached_answer.py, and what happens
while a store is in trouble in l2.py.
"""

from __future__ import annotations

from typing import Protocol

import msgspec


class StoreError(Exception):
    """A store is in trouble. The text is for the operator, and holds no password."""


class StoreTotals(msgspec.Struct, frozen=True):
    """What a store holds, roughly. `bytes`: of the values."""

    entries: int
    bytes: int


class StoreBackend(Protocol):
    """Raises StoreError when it is in trouble, and nothing else. Whoever asks sets the time: an
    operation may be cancelled, and is not tried twice."""

    async def read(self, wanted: list[tuple[str, bytes]]) -> list[bytes | None]:
        """The values of (group, key), in order; None for what is not kept, or not any more.

        The group is asked for, too, so that a store may put it into its own keys: then all that is
        kept of one group can be found without reading a single value.
        """

    async def write(self, values: list[tuple[str, bytes, bytes]]) -> None:
        """Keep (group, key, value) in place of older values, for as long as the store keeps any."""

    async def purge(self, group: str | None, stored_before: float | None) -> int:
        """Forget what is kept of one group, or of all, and was stored before a moment in Unix
        seconds, or ever. Returns how many. Takes long where much is kept."""

    async def totals(self) -> StoreTotals:
        """What is kept. Counts one by one: for people, not for every scrape of metrics."""

    async def close(self) -> None:
        """Let go of what the store itself has opened. May be called twice."""
