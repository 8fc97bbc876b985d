"""The last config that workers could use, as its file's text, in memory that all of them have.

A worker that takes another one's slot begins with what the others serve, even if the file has
become wrong meanwhile; then it looks at the file itself.
"""

from __future__ import annotations

import msgspec

from llmproxy.runtime import LoadStatus
from llmproxy.telemetry.board import Board, SheetFull


class GoodConfig(msgspec.Struct):
    """`text`: of the file; `seen`: what was found in it last; `loaded`: what came of it."""

    text: str
    seen: str
    loaded: LoadStatus


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(GoodConfig).decode


class LastGoodConfig:
    """Made before the workers are forked. Each has a slot of its own to write to."""

    def __init__(self, slots: int) -> None:
        self._board = Board(slots, 1)
        self._slots = range(slots)

    def write(self, slot: int, good: GoodConfig) -> None:
        """What the worker at this slot serves now."""
        try:
            self._board.write(slot, 0, _encode(good))
        except SheetFull:
            return  # a file of megabytes: its like must be right when a worker is replaced

    def newest(self) -> GoodConfig | None:
        """What was taken up last by any worker; None: nothing since the start."""
        known = [_decode(text) for slot in self._slots if (text := self._board.read(slot, 0))]
        return max(known, key=lambda good: good.loaded.loaded_at, default=None)
