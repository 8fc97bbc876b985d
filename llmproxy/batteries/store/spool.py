"""The spool: batches of calls on disk that wait until the database takes them.

Each writer appends to a file of its own, `WRITER.calls`, and holds a lock on it. Another one takes
over a file whose writer is gone. A batch is on the disk when `append` returns; one that is cut off
by a crash is left out.
"""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec

from llmproxy.batteries.store.rows import Row

MAX_BYTES = 512 * 2**20  # about a million calls
SUFFIX = ".calls"
HEADER = struct.Struct(">4sQLLL")  # mark, number, rows, length, checksum
MARK = b"call"
_encode = msgspec.msgpack.Encoder().encode
_rows_of = msgspec.msgpack.Decoder(list[tuple[Any, ...]]).decode


class SpoolFull(Exception):
    """The batch does not fit: the bound is reached, or the disk is full."""


class Batch(msgspec.Struct, frozen=True):
    """Rows that are written together. The writer counts its batches, so none is written twice."""

    number: int
    rows: list[Row]


class Spool:
    """One file, made with the first batch. Blocks: call it in a thread. `waiting`: calls in it."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self.writer = path.name.removesuffix(SUFFIX)
        self.waiting = 0
        self._path = path
        self._max_bytes = max_bytes
        self._file: int | None = None
        self._begin = self._end = 0  # of what is not written to the database yet

    def append(self, batch: Batch) -> None:
        """Keep a batch on the disk. Raises SpoolFull."""
        data = _encode(batch.rows)
        header = HEADER.pack(MARK, batch.number, len(batch.rows), len(data), crc32(data))
        if self._end + len(header) + len(data) > self._max_bytes:
            raise SpoolFull(f"the bound of {self._max_bytes // 2**20} MiB is reached")
        try:
            file = self._open()
            # At the end of the last whole batch, also if the one before was cut off.
            written = os.pwrite(file, header + data, self._end)
            if written < len(header) + len(data):
                raise OSError("the disk is full")
            os.fdatasync(file)
        except OSError as error:
            raise SpoolFull(f"{self._path} cannot be written: {error}") from error
        self._end += written
        self.waiting += len(batch.rows)

    def first(self) -> Batch | None:
        """Return the oldest batch; None = there is none."""
        if self._file is None or self._begin >= self._end:
            return None
        number, _, length, checksum = self._header(self._begin) or (0, 0, 0, 0)
        data = os.pread(self._file, length, self._begin + HEADER.size)
        if not length or crc32(data) != checksum:  # nothing behind it can be read
            self._end = self._begin
            self.waiting = 0
            return None
        return Batch(number, _rows_of(data))

    def drop_first(self) -> None:
        """Forget the oldest batch. The file is emptied with the last one."""
        if self._file is None or (header := self._header(self._begin)) is None:
            return
        _, rows, length, _ = header
        self._begin += HEADER.size + length
        self.waiting -= rows
        if self._begin >= self._end:
            os.ftruncate(self._file, 0)
            self._begin = self._end = self.waiting = 0

    def close(self) -> None:
        """Close the file, and remove it if nothing waits in it."""
        if self._file is not None:
            if not self.waiting:
                with suppress(OSError):
                    self._path.unlink()
            os.close(self._file)
            self._file = None

    def take_over(self) -> bool:
        """Open the file that another writer left; False if that one is still there."""
        try:
            self._file = os.open(self._path, os.O_RDWR)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if self._file is not None:
                os.close(self._file)
                self._file = None
            return False
        at, size = 0, os.fstat(self._file).st_size
        while (header := self._header(at)) is not None:
            _, rows, length, _ = header
            if at + HEADER.size + length > size:
                break
            at += HEADER.size + length
            self.waiting += rows
        self._end = at
        return True

    def _open(self) -> int:
        if self._file is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self._file

    def _header(self, at: int) -> tuple[int, int, int, int] | None:
        """Return number, rows, length and checksum of the batch that begins there."""
        data = b"" if self._file is None else os.pread(self._file, HEADER.size, at)
        if len(data) < HEADER.size or not data.startswith(MARK):
            return None
        _, number, rows, length, checksum = HEADER.unpack(data)
        return number, rows, length, checksum


def abandoned(folder: Path, *, but: str) -> list[Spool]:
    """Return the spools in a folder whose writers are gone, opened. `but`: the own writer."""
    try:
        paths = sorted(folder.glob(f"*{SUFFIX}"))
    except OSError:
        return []
    found = (Spool(path) for path in paths if path.name != f"{but}{SUFFIX}")
    return [spool for spool in found if spool.take_over()]
