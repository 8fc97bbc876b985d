"""The messages between an instance and the shared window, and the slots that both count in.

All lengths of time are in slots of a quarter of a second. What is granted must be dispatched within
two slots (0.5 s) of the request for it. The window is a minute and three slots long (60.75 s), so
what was dispatched in the last 60 s is still in it.
"""

from __future__ import annotations

import msgspec

SLOT_S = 0.25
# What is granted may be dispatched until the end of the slot after that of the request.
LIFE_SLOTS = 2
# A minute, the life of a granted unit, and the slot in which the grant was counted.
WINDOW_SLOTS = 240 + LIFE_SLOTS + 1


class UsageReport(msgspec.Struct, frozen=True):
    """What was dispatched without a grant `age_slots` ago; below 0: what is given back."""

    age_slots: int
    requests: int
    tokens: int


class BurstLimit(msgspec.Struct, frozen=True):
    """At most so many requests in so many slots, the current one included."""

    requests: int
    slots: int


class QuotaRequest(msgspec.Struct, frozen=True):
    """What an instance reports to the shared window, and what it requests.

    `rpm`, `tpm`: the limits; None = not counted. `instances`: how many share them; one grant is at
    most an equal part of what is left. `epoch`: the window's last known epoch; empty = none.
    `waiting`: a call waits for this, so later requests are served later. Either at least `need_*`
    is granted or nothing, and at most `want_*`; both 0 = only report.
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
    `has_room`: something is left. `wait_s`: after a refusal, the seconds until there may be enough.
    """

    epoch: str
    lost: bool
    requests: int
    tokens: int
    has_room: bool
    wait_s: float
