"""The answers in the memory of this process: an LRU cache, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict

from llmproxy.batteries.cache.cached_answer import CachedAnswer

# What an answer takes beside its body: the key, the struct, and its place in the table.
ENTRY_BYTES = 512


class MemoryStore:
    """Keeps answers by key. `max_bytes`: of all together; `keep_s`: their maximum age."""

    __slots__ = ("_entries", "_keep_s", "_max_bytes", "bytes")

    def __init__(self, *, max_bytes: int, keep_s: float) -> None:
        self._entries: OrderedDict[bytes, CachedAnswer] = OrderedDict()
        self.bytes = 0
        self.limit_to(max_bytes=max_bytes, keep_s=keep_s)

    def limit_to(self, *, max_bytes: int, keep_s: float) -> None:
        """Change the bounds, and evict what exceeds the new ones."""
        self._max_bytes = max_bytes
        self._keep_s = keep_s
        self._evict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes, now: float) -> CachedAnswer | None:
        """Return the answer under a key; None if it is absent or too old. `now`: Unix seconds."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now - entry.stored_at >= self._keep_s:
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return entry

    def put(self, key: bytes, entry: CachedAnswer) -> None:
        """Store an answer in place of an older one, unless it is bigger than the whole bound."""
        self._remove(key)
        size = size_of(entry)
        if size > self._max_bytes:
            return
        self._entries[key] = entry
        self.bytes += size
        self._evict()

    def purge(self, group: str | None, stored_before: float | None) -> int:
        """Remove answers, and return how many.

        `group`: only of this model group; None = of all. `stored_before`: Unix seconds; None = all.
        """
        purged = [
            key for key, entry in self._entries.items() if entry.matches(group, stored_before)
        ]
        for key in purged:
            self._remove(key)
        return len(purged)

    def _evict(self) -> None:
        while self.bytes > self._max_bytes:
            self._remove(next(iter(self._entries)))

    def _remove(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= size_of(entry)


def size_of(entry: CachedAnswer) -> int:
    """Return the bytes of memory that an answer takes, approximately."""
    return len(entry.body) + ENTRY_BYTES
