"""The last config that workers could use, as its file's text, in memory that all of them have.

A worker that takes another one's place begins with what the others serve, even if the file has
become wrong meanwhile; then it looks at the file itself.
"""

from __future__ import annotations

import msgspec

from llmproxy.runtime import LoadStatus
from llmproxy.telemetry.board import Board, SheetFull


class Good(msgspec.Struct):
    """`text`: of the file; `seen`: what was found in it last; `loaded`: what came of it."""

    text: str
    seen: str
    loaded: LoadStatus


_pack = msgspec.msgpack.Encoder().encode
_good_of = msgspec.msgpack.Decoder(Good).decode


class LastGood:
    """Made before the workers are forked. Each has a place of its own to write to."""

    def __init__(self, places: int) -> None:
        self._board = Board(places, 1)
        self._places = range(places)

    def write(self, place: int, good: Good) -> None:
        """What the worker at this place serves now."""
        try:
            self._board.write(place, 0, _pack(good))
        except SheetFull:
            return  # a file of megabytes: its like must be right when a worker is replaced

    def newest(self) -> Good | None:
        """What was taken up last by any worker; None: nothing since the start."""
        known = [_good_of(text) for place in self._places if (text := self._board.read(place, 0))]
        return max(known, key=lambda good: good.loaded.loaded_at, default=None)
