"""Answers kept in this process: bounded by bytes, the longest unused are forgotten first.

It decides nothing: what may be kept, and under which key, is said elsewhere.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

# What an entry takes beside its body: key, struct, and its place in the table.
ENTRY_BYTES = 512


class Remembered(msgspec.Struct, frozen=True, gc=False):
    """An answer as it is given again. `stored_at`: seconds of `time.monotonic`."""

    content_type: bytes
    body: bytes
    stored_at: float


class MemoryCache:
    """Owns the entries. `max_bytes`: for all of them; `ttl_s`: for how long one is given."""

    __slots__ = ("_entries", "_max_bytes", "_ttl_s", "bytes")

    def __init__(self, *, max_bytes: int, ttl_s: float) -> None:
        self._entries: OrderedDict[bytes, Remembered] = OrderedDict()
        self._max_bytes = max_bytes
        self._ttl_s = ttl_s
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes, now: float) -> Remembered | None:
        """What is known under a key; None if nothing is, or nothing that is still good."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now - entry.stored_at >= self._ttl_s:
            self._forget(key)
            return None
        self._entries.move_to_end(key)
        return entry

    def put(self, key: bytes, entry: Remembered) -> None:
        """Keep an entry in place of an older one; not if it alone is too big."""
        self._forget(key)
        size = len(entry.body) + ENTRY_BYTES
        if size > self._max_bytes:
            return
        self._entries[key] = entry
        self.bytes += size
        while self.bytes > self._max_bytes:
            self._forget(next(iter(self._entries)))

    def _forget(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= len(entry.body) + ENTRY_BYTES
