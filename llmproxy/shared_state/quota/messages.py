"""What an instance and the shared window say to each other, and the lengths that both count in."""

from __future__ import annotations

import msgspec

SLOT_S = 0.25
# A unit is dispatched before the end of the slot after the one in which it was asked for.
LIFE_SLOTS = 2
# A minute, the time by which a unit is dispatched after it was counted, and the slot it is in.
WINDOW_SLOTS = 240 + LIFE_SLOTS + 1


class UsageReport(msgspec.Struct, frozen=True):
    """What was dispatched so many slots ago; below 0: what was not, after all."""

    age_slots: int
    requests: int
    tokens: int


class BurstLimit(msgspec.Struct, frozen=True):
    """At most so many requests in so many slots, the current one included."""

    requests: int
    slots: int


class QuotaRequest(msgspec.Struct, frozen=True):
    """What an instance tells the shared window, and wants of it. Limits: None = not counted."""

    rpm: int | None
    tpm: int | None
    burst: BurstLimit | None
    instances: int  # that share it: none gets more than its part of what is left at once
    epoch: str  # of the window that we know; empty: of none
    reports: tuple[UsageReport, ...]
    waiting: bool  # a call waits for this: who asks later is served later
    need_requests: int  # grant at least this, or nothing
    need_tokens: int
    want_requests: int  # and up to this; 0 and 0: only the reports matter
    want_tokens: int


class QuotaReply(msgspec.Struct, frozen=True):
    """The shared window's answer."""

    epoch: str
    lost: bool  # it is another window than the one that we know: nothing was charged or granted
    requests: int
    tokens: int
    has_room: bool  # something is left
    wait_s: float  # after a refusal: when there may be enough
