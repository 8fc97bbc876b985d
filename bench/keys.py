"""What a million keys cost: memory, and the time of a lookup on a call's path.

`python bench/keys.py [COUNT]` prints both, and what the copy in a file takes.
"""

from __future__ import annotations

import random
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from time import perf_counter

from llmproxy.batteries.keys import KnownKeys
from llmproxy.batteries.keys.copy import CopyHead, read_copy, write_copy
from llmproxy.batteries.keys.key import Key

TEAMS = 400
SAMPLE = 200_000


def credential(number: int) -> bytes:
    """Return a key that looks like one of ours."""
    return b"sk-llmproxy-" + sha256(b"%d" % number).hexdigest()[:43].encode()


def resident_mb() -> float:
    """Return the memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def key(number: int) -> Key:
    """Return a key with a team, patterns and a limit."""
    return Key(
        name=f"service-{number:07d}",
        team=f"team-{number % TEAMS}",
        key=f"key_{number:016d}",
        models=("gpt-4.1*",),
        rpm=60,
        expires_at=2e9,
    )


def timed_us(known: KnownKeys, credentials: list[bytes]) -> float:
    """Return the microseconds of one lookup."""
    identity_of = known.identity_of
    began = perf_counter()
    for sent in credentials:
        identity_of(sent)
    return (perf_counter() - began) / len(credentials) * 1e6


def main(count: int) -> None:
    """Print the figures for this many keys."""
    before, began = resident_mb(), perf_counter()
    known = KnownKeys()
    digests = sorted((sha256(credential(number)).digest(), number) for number in range(count))
    for start in range(0, count, 2_000):
        some = digests[start : start + 2_000]
        known.table.change({digest: key(number) for digest, number in some})
    del digests
    known.has_read_all()
    took = perf_counter() - began
    print(f"{known.table.count:,} keys, made and packed in {took:.1f} s")
    buffers = sum(
        len(part.digests) + len(part.ends) + len(part.packed) for part in known.table.parts()
    )
    grew = resident_mb() - before
    print(f"memory: {buffers / 1e6:.0f} MB of keys; the process grew by {grew:.0f} MB")
    draw = random.Random(1)
    few = [credential(draw.randrange(count)) for _ in range(min(1_000, count))] * 200
    timed_us(known, few[:1_000])
    print(f"lookup of a key in use: {timed_us(known, few):.2f} us")
    many = [credential(draw.randrange(count)) for _ in range(SAMPLE)]
    print(f"lookup of any key, at random: {timed_us(known, many):.2f} us")
    began = perf_counter()
    for number in range(1_000):
        known.table.change({sha256(credential(number)).digest(): key(number)})
    print(f"change of a key: {(perf_counter() - began) * 1e3:.1f} us")
    with tempfile.TemporaryDirectory() as folder:
        file, parts = Path(folder) / "keys", known.table.parts()
        began = perf_counter()
        write_copy(file, CopyHead(1, "", 1, len(parts)), parts)
        wrote = perf_counter()
        read_copy(file, "")
        size = file.stat().st_size / 1e6
        print(
            f"copy: {size:.0f} MB, written in {wrote - began:.2f} s, read in "
            f"{perf_counter() - wrote:.2f} s"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
