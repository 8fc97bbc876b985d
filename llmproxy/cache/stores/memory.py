"""Answers kept in this process: bounded by bytes, the longest unused are forgotten first.

It decides nothing: what may be kept, and under which key, is said elsewhere.
"""

from __future__ import annotations

from collections import OrderedDict

from llmproxy.cache.cached_answer import CachedAnswer

# What an entry takes beside its body: key, struct, and its place in the table.
ENTRY_BYTES = 512


class MemoryStore:
    """Owns the entries. `max_bytes`: for all of them; `keep_s`: for how long one is given."""

    __slots__ = ("_entries", "_keep_s", "_max_bytes", "bytes")

    def __init__(self, *, max_bytes: int, keep_s: float) -> None:
        self._entries: OrderedDict[bytes, CachedAnswer] = OrderedDict()
        self.bytes = 0
        self.limit_to(max_bytes=max_bytes, keep_s=keep_s)

    def limit_to(self, *, max_bytes: int, keep_s: float) -> None:
        """From now on these are the bounds, for what is kept already, too."""
        self._max_bytes = max_bytes
        self._keep_s = keep_s
        self._make_room()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes, now: float) -> CachedAnswer | None:
        """What is known under a key; None if nothing is, or nothing that is still good.

        `now`: Unix seconds.
        """
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now - entry.stored_at >= self._keep_s:
            self._forget(key)
            return None
        self._entries.move_to_end(key)
        return entry

    def put(self, key: bytes, entry: CachedAnswer) -> None:
        """Keep an entry in place of an older one; not if it alone is too big."""
        self._forget(key)
        size = size_of(entry)
        if size > self._max_bytes:
            return
        self._entries[key] = entry
        self.bytes += size
        self._make_room()

    def purge(self, group: str | None, stored_before: float | None) -> int:
        """Forget the answers of one group, or of all, that were stored before a moment in Unix
        seconds, or ever. Returns how many."""
        purged = [
            key for key, entry in self._entries.items() if entry.is_meant(group, stored_before)
        ]
        for key in purged:
            self._forget(key)
        return len(purged)

    def _make_room(self) -> None:
        while self.bytes > self._max_bytes:
            self._forget(next(iter(self._entries)))

    def _forget(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= size_of(entry)


def size_of(entry: CachedAnswer) -> int:
    """The bytes of memory that an entry takes, roughly."""
    return len(entry.body) + ENTRY_BYTES
