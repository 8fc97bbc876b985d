"""The ledger: what this instance dispatched, slot by slot, and what of it is not charged yet.

If the shared window is lost (its server came back empty), everything of the last minute is charged
again, each to its own slot, so that it leaves the window when it should.
"""

from __future__ import annotations

from math import ceil

import msgspec

from llmproxy.shared_state.quota.messages import LIFE_SLOTS, SLOT_S, UsageReport

# The shared window's slots do not begin when ours do, and an ask is under way for a while. What is
# taken off the window must not be booked later than it was charged, or it is missing at the end.
SLACK_SLOTS = 2


class SlotUsage(msgspec.Struct):
    """Requests and tokens of a slot."""

    requests: int = 0
    tokens: float = 0.0

    def add(self, requests: int, tokens: float) -> None:
        """Count more; below 0: less."""
        self.requests += requests
        self.tokens += tokens


class UsageHistory:
    """Mutable; owned by a Lease. Slots are numbered since time 0 of the local clock.

    `requests` and `tokens`: all that was ever dispatched. `owed_*`: dispatched without a grant,
    and not known to be charged.
    """

    __slots__ = (
        "_before_requests",
        "_before_tokens",
        "_charges",
        "_history",
        "_newest",
        "_window_slots",
        "owed_requests",
        "owed_tokens",
        "requests",
        "slot",
        "slot_ends_at",
        "tokens",
    )

    def __init__(self, window_slots: int) -> None:
        self.slot = 0
        self.slot_ends_at = 0.0
        self.requests = 0
        self.tokens = 0.0
        self.owed_requests = 0
        self.owed_tokens = 0.0
        self._before_requests = 0  # of all that, what was dispatched before this slot
        self._before_tokens = 0.0
        self._window_slots = window_slots
        self._newest = -window_slots  # the last slot in which something was dispatched
        self._history: dict[int, SlotUsage] = {}
        self._charges: dict[int, SlotUsage] = {}

    @property
    def has_charges(self) -> bool:
        """There is something to tell the shared window."""
        return bool(self._charges)

    @property
    def is_empty(self) -> bool:
        """Nothing was dispatched in the last minute."""
        self._close_slot()
        return self._newest <= self.slot - self._window_slots

    def turn(self, now: float) -> int:
        """The slot is over; returns how many have passed."""
        self._close_slot()
        slot = int(now / SLOT_S)
        passed, self.slot, self.slot_ends_at = slot - self.slot, slot, (slot + 1) * SLOT_S
        if len(self._history) > 2 * self._window_slots:
            self._history = self._in_window(self._history)
        if self._charges:
            self._charges = self._in_window(self._charges)
        return passed

    def owe(self, requests: int, tokens: float) -> None:
        """This was dispatched now without a grant."""
        self.owed_requests += requests
        self.owed_tokens += tokens
        self._charge(self.slot, requests, tokens)

    def give_up(self, requests: int, tokens: int, asked_slot: int) -> None:
        """Units that were asked for in that slot are not used."""
        if requests or tokens:
            self._charge(asked_slot - SLACK_SLOTS, -requests, -tokens)

    def correct(self, requests: int, tokens: float, at: float) -> None:
        """So much more was dispatched at that time than was taken; below 0: less."""
        slot = int(at / SLOT_S)
        if slot <= self.slot - self._window_slots:
            return
        self._close_slot()
        self._history.setdefault(slot, SlotUsage()).add(requests, tokens)
        # What it was charged with was asked for in that slot, or in the one before.
        booked = slot if tokens > 0 else slot - (LIFE_SLOTS - 1) - SLACK_SLOTS
        self._charge(booked, requests, tokens)

    def hand_over(self) -> dict[int, SlotUsage]:
        """The reports, to be told; whoever takes them brings them back if nobody heard them."""
        reports, self._charges = self._charges, {}
        return reports

    def take_back(self, reports: dict[int, SlotUsage]) -> None:
        """Nobody may have heard these. Debts are told again, and are counted twice at worst;
        what would be taken off twice is not told again."""
        for slot, traffic in reports.items():
            if traffic.requests > 0 or traffic.tokens > 0:
                self._charge(slot, max(0, traffic.requests), max(0.0, traffic.tokens))

    def tell_all_again(self) -> None:
        """The window knows nothing of us: charge all that was dispatched in the last minute."""
        self._close_slot()
        self._history = self._in_window(self._history)
        self._charges = {
            slot: SlotUsage(traffic.requests, traffic.tokens)
            for slot, traffic in self._history.items()
        }
        self.owed_requests = sum(each.requests for each in self._charges.values())
        self.owed_tokens = sum(each.tokens for each in self._charges.values())

    def as_told(self, reports: dict[int, SlotUsage]) -> tuple[UsageReport, ...]:
        """Charges as the shared window takes them: by their age."""
        return tuple(
            UsageReport(max(0, self.slot - slot), each.requests, ceil(each.tokens))
            for slot, each in self._in_window(reports).items()
            if each.requests or each.tokens
        )

    def _charge(self, slot: int, requests: int, tokens: float) -> None:
        traffic = self._charges.get(slot)
        if traffic is None:
            traffic = self._charges[slot] = SlotUsage()
        traffic.add(requests, tokens)

    def _close_slot(self) -> None:
        """Write down what was dispatched in the current slot so far."""
        requests = self.requests - self._before_requests
        tokens = self.tokens - self._before_tokens
        if requests or tokens:
            self._newest = self.slot
            self._history.setdefault(self.slot, SlotUsage()).add(requests, tokens)
            self._before_requests, self._before_tokens = self.requests, self.tokens

    def _in_window(self, book: dict[int, SlotUsage]) -> dict[int, SlotUsage]:
        forgotten = self.slot - self._window_slots
        return {slot: traffic for slot, traffic in book.items() if slot > forgotten}
