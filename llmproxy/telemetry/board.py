"""The board: what workers write for each other to read, in memory that all of them have.

Each worker has a place, and each place some sheets. A sheet is written whole, by its worker only,
into the one of its two halves that is not shown; then that half is shown. So a reader never waits
and never makes anybody wait. Should a writer come round twice while a half is being read, the
checksum tells, and it is read again.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from struct import Struct
from zlib import crc32

# The numbers of some thousand endpoints, or a hundred calls with their steps. Memory that
# nobody has written to costs nothing.
HALF_BYTES = 4 << 20
READINGS = 10

_head = Struct("=II")  # length and checksum


class SheetFull(Exception):
    """More was to be written than a sheet takes."""


class Board:
    """Made before the workers are forked; each then uses the same memory."""

    def __init__(self, places: int, sheets: int, *, half_bytes: int = HALF_BYTES) -> None:
        self.places = places
        self._sheets = sheets
        self._half_bytes = half_bytes
        # In front of all halves: which one of each sheet is shown (0: none yet).
        self._memory = mmap.mmap(-1, places * sheets * (1 + 2 * half_bytes))

    def write(self, place: int, sheet: int, text: bytes) -> None:
        """Show this from now on. Raises SheetFull, and then shows what was there before."""
        if len(text) > self._half_bytes - _head.size:
            raise SheetFull(f"{len(text)} bytes, and a sheet takes {self._half_bytes - _head.size}")
        number = place * self._sheets + sheet
        half = 2 if self._memory[number] == 1 else 1
        begin = self._begin(number, half)
        self._memory[begin + _head.size : begin + _head.size + len(text)] = text
        _head.pack_into(self._memory, begin, len(text), crc32(text))
        self._memory[number] = half

    def read(self, place: int, sheet: int) -> bytes | None:
        """What is shown; None if nothing is, or if it changes faster than it can be read."""
        number = place * self._sheets + sheet
        for _ in range(READINGS):
            half = self._memory[number]
            if not half:
                return None
            begin = self._begin(number, half)
            length, checksum = _head.unpack_from(self._memory, begin)
            text = self._memory[begin + _head.size : begin + _head.size + length]
            if len(text) == length and crc32(text) == checksum:
                return text
        return None

    def others(self, place: int, sheet: int) -> Iterator[bytes]:
        """What the other places show."""
        for other in range(self.places):
            if other != place and (text := self.read(other, sheet)) is not None:
                yield text

    def _begin(self, number: int, half: int) -> int:
        halves = self.places * self._sheets + 2 * number * self._half_bytes
        return halves + (half - 1) * self._half_bytes
