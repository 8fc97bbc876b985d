"""The messages between an instance and the shared window, and the slots that both count in.

Durations are counted in slots of a quarter of a second. A grant must be dispatched within two
slots (0.5 s) of the request for it. The window is a minute and three slots long (60.75 s), so it
still contains everything that was dispatched in the last 60 s.
"""

from __future__ import annotations

import msgspec

SLOT_S = 0.25
# A grant may be dispatched in the slot of its request and in the next one.
LIFE_SLOTS = 2
# A minute, the life of a grant, and the slot in which the grant was counted.
WINDOW_SLOTS = 240 + LIFE_SLOTS + 1


class UsageReport(msgspec.Struct, frozen=True):
    """A correction of what the window counted `age_slots` ago.

    Above 0: usage that it has not counted, since there was no grant or the window was lost.
    Below 0: what was granted and not used.
    """

    age_slots: int
    requests: int
    tokens: int


class BurstLimit(msgspec.Struct, frozen=True):
    """At most `requests` in any `slots` slots in a row, the current one included."""

    requests: int
    slots: int


class QuotaRequest(msgspec.Struct, frozen=True):
    """What an instance reports to the shared window, and the grant that it asks for.

    `rpm`, `tpm`: the limits; None = not counted. `instances`: how many share them; one grant is at
    most an equal part of what is left. `epoch`: the window's last known epoch; empty = none.
    `waiting`: a call is waiting for this grant; if it is refused, the window reserves the next room
    for this instance. The grant is at least `need_*` and at most `want_*`, or nothing; both 0 =
    only report.
    """

    rpm: int | None
    tpm: int | None
    burst: BurstLimit | None
    instances: int
    epoch: str
    reports: tuple[UsageReport, ...]
    waiting: bool
    need_requests: int
    need_tokens: int
    want_requests: int
    want_tokens: int


class QuotaReply(msgspec.Struct, frozen=True):
    """The shared window's reply.

    `lost`: the window has another epoch than the request's, so nothing was counted or granted.
    `has_room`: some of each limit is left. `wait_s`: seconds until a refused request may succeed.
    """

    epoch: str
    lost: bool
    requests: int
    tokens: int
    has_room: bool
    wait_s: float
