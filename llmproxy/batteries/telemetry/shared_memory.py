"""Shared memory in which workers publish messages to each other.

Each worker has some slots, which only it writes to. A slot has two buffers: a message is written
whole to the hidden one, which is then made the visible one. So readers and writers never wait for
each other. If the writer laps a reader, the checksum fails and the read is repeated.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from struct import Struct
from zlib import crc32

# Enough for the counters of some thousand endpoints, or for a hundred calls with their steps.
# Memory that is never written to costs nothing.
BUFFER_BYTES = 4 << 20
READ_ATTEMPTS = 10

_head = Struct("=II")  # length and checksum


class SlotFull(Exception):
    """The message is longer than a slot."""


class SharedMemory:
    """Anonymous memory, mapped before the workers are forked.

    `workers`: how many there are. `slots`: how many each has.
    """

    def __init__(self, workers: int, slots: int, *, buffer_bytes: int = BUFFER_BYTES) -> None:
        self.workers = workers
        self._slots = slots
        self._buffer_bytes = buffer_bytes
        # In front of all buffers: the number of each slot's visible buffer (1 or 2; 0: none yet).
        self._memory = mmap.mmap(-1, workers * slots * (1 + 2 * buffer_bytes))

    def write(self, worker: int, slot: int, message: bytes) -> None:
        """Publish a message. Raises SlotFull, and the message before stays visible."""
        max_bytes = self._buffer_bytes - _head.size
        if len(message) > max_bytes:
            raise SlotFull(f"{len(message)} bytes, and a slot takes {max_bytes}")
        number = worker * self._slots + slot
        buffer = 2 if self._memory[number] == 1 else 1
        start = self._start_of(number, buffer)
        self._memory[start + _head.size : start + _head.size + len(message)] = message
        _head.pack_into(self._memory, start, len(message), crc32(message))
        self._memory[number] = buffer

    def read(self, worker: int, slot: int) -> bytes | None:
        """Return the visible message; None without one, or if it changes too fast to be read."""
        number = worker * self._slots + slot
        for _ in range(READ_ATTEMPTS):
            buffer = self._memory[number]
            if not buffer:
                return None
            start = self._start_of(number, buffer)
            length, checksum = _head.unpack_from(self._memory, start)
            message = self._memory[start + _head.size : start + _head.size + length]
            if len(message) == length and crc32(message) == checksum:
                return message
        return None

    def read_others(self, worker: int, slot: int) -> Iterator[bytes]:
        """Yield the messages of all other workers."""
        for other in range(self.workers):
            if other != worker and (message := self.read(other, slot)) is not None:
                yield message

    def _start_of(self, number: int, buffer: int) -> int:
        buffers = self.workers * self._slots + 2 * number * self._buffer_bytes
        return buffers + (buffer - 1) * self._buffer_bytes
