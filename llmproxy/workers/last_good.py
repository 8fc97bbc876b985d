"""The last valid config, as the text of its file, in memory that all workers share.

A replacement worker starts with the config that the others serve, even if the file has become
invalid in the meantime; then it reads the file.
"""

from __future__ import annotations

import msgspec

from llmproxy.batteries.reload import LoadStatus
from llmproxy.batteries.telemetry.shared_memory import SharedMemory, SlotFull


class GoodConfig(msgspec.Struct):
    """`text`: the valid text; `seen`: the text last read; `loaded`: the result of reading it."""

    text: str
    seen: str
    loaded: LoadStatus


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(GoodConfig).decode


class LastGoodConfig:
    """Create it before the workers are forked. Each worker writes to a slot of its own."""

    def __init__(self, slots: int) -> None:
        self._memory = SharedMemory(slots, 1)
        self._slots = range(slots)

    def write(self, slot: int, good: GoodConfig) -> None:
        """Publish the config that the worker of this slot serves now."""
        try:
            self._memory.write(slot, 0, _encode(good))
        except SlotFull:
            return  # too large to share; a replacement worker parses the file itself

    def newest(self) -> GoodConfig | None:
        """Return the config that any worker loaded last; None if none was loaded since the
        start."""
        known = [_decode(text) for slot in self._slots if (text := self._memory.read(slot, 0))]
        return max(known, key=lambda good: good.loaded.loaded_at, default=None)
