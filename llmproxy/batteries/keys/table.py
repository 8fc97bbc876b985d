"""All keys in memory, found by their digests in microseconds, without a lock or I/O.

A Python object a key would take half a kilobyte. So the keys stand in parts, by the first 12 bits
of their digests, which are evenly spread: of a million keys, a part has some 250. A part is three
buffers: the digests in order, the packed keys, and where each of them ends. A change copies one
part, in about ten microseconds, and readers see the old part or the new one.

Keys in use are kept unpacked as well, because unpacking is most of what a lookup costs.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from llmproxy.batteries.keys.key import Key, decode_key, encode_key

DIGEST_BYTES = 32
MAX_UNPACKED = 20_000


class TablePart(msgspec.Struct, frozen=True, gc=False):
    """Some keys. `digests`: in order, 32 bytes each. `ends`: of each key in `packed`, 4 bytes."""

    digests: bytes = b""
    ends: bytes = b""
    packed: bytes = b""

    def __len__(self) -> int:
        return len(self.digests) // DIGEST_BYTES

    def place_of(self, digest: bytes) -> int:
        """Return the place of the first digest that is not below this one."""
        digests, low, high = self.digests, 0, len(self.digests) // DIGEST_BYTES
        while low < high:
            middle = (low + high) // 2
            if digests[middle * DIGEST_BYTES : (middle + 1) * DIGEST_BYTES] < digest:
                low = middle + 1
            else:
                high = middle
        return low

    def key_at(self, place: int) -> bytes:
        """Return the packed key at a place."""
        ends = memoryview(self.ends).cast("I")
        return self.packed[ends[place - 1] if place else 0 : ends[place]]

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield each digest and its packed key, in the order of the digests."""
        for place in range(len(self)):
            yield self.digests[place * DIGEST_BYTES :][:DIGEST_BYTES], self.key_at(place)


def part_of(keys: Mapping[bytes, bytes]) -> TablePart:
    """Return a part with these packed keys, by digest."""
    digests = sorted(keys)
    packed = [keys[digest] for digest in digests]
    ends, end = array("I"), 0
    for key in packed:
        end += len(key)
        ends.append(end)
    return TablePart(b"".join(digests), ends.tobytes(), b"".join(packed))


NOTHING = TablePart()


class KeyTable:
    """The keys of a process. Only its event loop changes it."""

    __slots__ = ("_parts", "_unpacked", "count")

    def __init__(self) -> None:
        self._parts: dict[int, TablePart] = {}
        self._unpacked: dict[bytes, Key] = {}
        self.count = 0  # digests: a key that is being rotated has two

    def find(self, digest: bytes) -> Key | None:
        """Return the key with this digest; None if there is none. The same object while it is in
        use and does not change."""
        key = self._unpacked.get(digest)
        if key is not None:
            return key
        part = self._parts.get(_part_number(digest))
        if part is None:
            return None
        place = part.place_of(digest)
        if part.digests[place * DIGEST_BYTES : (place + 1) * DIGEST_BYTES] != digest:
            return None
        if len(self._unpacked) >= MAX_UNPACKED:
            self._unpacked.clear()
        key = self._unpacked[digest] = decode_key(part.key_at(place))
        return key

    def change(self, changes: Mapping[bytes, Key | None]) -> None:
        """Put keys in the place of those with the same digests; None removes one."""
        by_part: defaultdict[int, dict[bytes, Key | None]] = defaultdict(dict)
        for digest, key in changes.items():
            by_part[_part_number(digest)][digest] = key
            self._unpacked.pop(digest, None)
        for number, changed in by_part.items():
            before = self._parts.get(number, NOTHING)
            keys = dict(before.items())
            for digest, key in changed.items():
                if key is None:
                    keys.pop(digest, None)
                else:
                    keys[digest] = encode_key(key)
            self._install(number, part_of(keys))

    def parts(self) -> list[TablePart]:
        """Return all parts. They do not change; the table gets others."""
        return list(self._parts.values())

    def install(self, parts: Iterable[TablePart]) -> None:
        """Take over the parts of another table, in the place of those for the same digests."""
        for part in parts:
            if part.digests:
                self._install(_part_number(part.digests), part)

    def _install(self, number: int, part: TablePart) -> None:
        self.count += len(part) - len(self._parts.get(number, NOTHING))
        if part.digests:
            self._parts[number] = part
        else:
            self._parts.pop(number, None)


def _part_number(digest: bytes) -> int:
    return digest[0] << 4 | digest[1] >> 4
