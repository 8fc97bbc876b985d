"""Memory that a process shares with its workers. Made on import, so before any fork."""

from __future__ import annotations

from mmap import mmap
from secrets import token_urlsafe
from struct import pack_into, unpack_from
from time import time

MARK_BYTES = 16
_COUNTER = "=Q"
_COUNTER_BYTES = 8


class SharedMarks:
    """A set of marks of MARK_BYTES that all processes see. It keeps the newest `count`."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._memory = mmap(-1, _COUNTER_BYTES + count * MARK_BYTES)

    def add(self, mark: bytes) -> None:
        """Add a mark."""
        (added,) = unpack_from(_COUNTER, self._memory)
        at = _COUNTER_BYTES + added % self._count * MARK_BYTES
        self._memory[at : at + MARK_BYTES] = mark
        pack_into(_COUNTER, self._memory, 0, added + 1)

    def __contains__(self, mark: bytes) -> bool:
        return self._memory.find(mark, _COUNTER_BYTES) >= 0


# Printed at start. It opens `/admin` where no admin_key is configured.
START_TOKEN = token_urlsafe(18)
# What session cookies are signed with where the config has no secret. It is printed nowhere.
SESSION_SECRET = token_urlsafe(18)
STARTED_AT = int(time())
# Sessions of `/admin` that were ended by signing out, until they would have expired.
ENDED_SESSIONS = SharedMarks(1024)
# Configs that a worker has just noted in the audit, so that the others do not.
RELOADS = SharedMarks(64)
