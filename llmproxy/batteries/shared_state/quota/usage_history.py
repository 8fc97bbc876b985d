"""What this instance dispatched in the last minute, slot by slot, and what of it is to be reported.

Three things are reported to the shared window, each for the slot to which it belongs:

- an overdraft: what was dispatched without a grant;
- what is given back: granted and not dispatched, or dispatched and smaller than reserved;
- all of the last minute again, if the window was lost (its server came back empty).

Each leaves the window when its slot does, as if the window had seen it at that time.
"""

from __future__ import annotations

from math import ceil

import msgspec

from llmproxy.batteries.shared_state.quota.messages import LIFE_SLOTS, SLOT_S, UsageReport

# The window's slots do not begin when ours do, and a request takes a while. What is given back must
# not be booked to a later slot than its grant, or it is missing at the end. So book it earlier.
SLACK_SLOTS = 2


class SlotUsage(msgspec.Struct):
    """Requests and tokens of a slot."""

    requests: int = 0
    tokens: float = 0.0

    def add(self, requests: int, tokens: float) -> None:
        """Count more; below 0: less."""
        self.requests += requests
        self.tokens += tokens


SlotUsages = dict[int, SlotUsage]


class UsageHistory:
    """Mutable; owned by a Lease. Slots are numbered from time 0 of the local clock.

    `requests`, `tokens`: all that was ever dispatched. `overdraft_*`: dispatched without a grant,
    and not known to be counted by the window.
    """

    __slots__ = (
        "_before_slot",
        "_by_slot",
        "_newest",
        "_reports",
        "_window_slots",
        "overdraft_requests",
        "overdraft_tokens",
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
        self.overdraft_requests = 0
        self.overdraft_tokens = 0.0
        self._before_slot = SlotUsage()  # all that was dispatched before the current slot
        self._window_slots = window_slots
        self._newest = -window_slots  # the last slot in which something was dispatched
        self._by_slot: SlotUsages = {}
        self._reports: SlotUsages = {}

    @property
    def has_reports(self) -> bool:
        """Whether something is to be reported."""
        return bool(self._reports)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was dispatched in the last minute."""
        self._close_slot()
        return self._newest <= self.slot - self._window_slots

    def start_slot(self, now: float) -> int:
        """Close the slot, which is over; returns how many slots have passed."""
        self._close_slot()
        slot = int(now / SLOT_S)
        passed, self.slot, self.slot_ends_at = slot - self.slot, slot, (slot + 1) * SLOT_S
        if len(self._by_slot) > 2 * self._window_slots:
            self._by_slot = self._in_window(self._by_slot)
        if self._reports:
            self._reports = self._in_window(self._reports)
        return passed

    def add_overdraft(self, requests: int, tokens: float) -> None:
        """Note what was dispatched now without a grant."""
        self.overdraft_requests += requests
        self.overdraft_tokens += tokens
        self._report(self.slot, requests, tokens)

    def return_unused(self, requests: int, tokens: int, requested_in: int) -> None:
        """Give back what was requested in a slot and is not used."""
        if requests or tokens:
            self._report(requested_in - SLACK_SLOTS, -requests, -tokens)

    def correct(self, requests: int, tokens: float, sent_at: float) -> None:
        """Change what was dispatched at a time, unless that has left the window; below 0: less."""
        slot = int(sent_at / SLOT_S)
        if slot <= self.slot - self._window_slots:
            return
        self._close_slot()
        self._by_slot.setdefault(slot, SlotUsage()).add(requests, tokens)
        # What it was dispatched from was requested in that slot, or in the one before.
        booked = slot if tokens > 0 else slot - (LIFE_SLOTS - 1) - SLACK_SLOTS
        self._report(booked, requests, tokens)

    def take_reports(self) -> SlotUsages:
        """Return the reports to be sent. The caller puts them back if sending fails."""
        reports, self._reports = self._reports, {}
        return reports

    def put_back(self, reports: SlotUsages) -> None:
        """Take back reports that the server may not have received.

        What was dispatched is reported again, and counted twice at worst. What was given back is
        not: twice would let the instances exceed the limit.
        """
        for slot, usage in reports.items():
            if usage.requests > 0 or usage.tokens > 0:
                self._report(slot, max(0, usage.requests), max(0.0, usage.tokens))

    def report_last_minute(self) -> None:
        """Report all of the last minute again, because the window has lost it."""
        self._close_slot()
        self._by_slot = self._in_window(self._by_slot)
        self._reports = {
            slot: SlotUsage(usage.requests, usage.tokens) for slot, usage in self._by_slot.items()
        }
        self.overdraft_requests = sum(usage.requests for usage in self._reports.values())
        self.overdraft_tokens = sum(usage.tokens for usage in self._reports.values())

    def as_messages(self, reports: SlotUsages) -> tuple[UsageReport, ...]:
        """Return reports as the window takes them, by age."""
        return tuple(
            UsageReport(max(0, self.slot - slot), usage.requests, ceil(usage.tokens))
            for slot, usage in self._in_window(reports).items()
            if usage.requests or usage.tokens
        )

    def _report(self, slot: int, requests: int, tokens: float) -> None:
        self._reports.setdefault(slot, SlotUsage()).add(requests, tokens)

    def _close_slot(self) -> None:
        """Note what was dispatched in the current slot so far."""
        before = self._before_slot
        requests, tokens = self.requests - before.requests, self.tokens - before.tokens
        if requests or tokens:
            self._newest = self.slot
            self._by_slot.setdefault(self.slot, SlotUsage()).add(requests, tokens)
            before.requests, before.tokens = self.requests, self.tokens

    def _in_window(self, usages: SlotUsages) -> SlotUsages:
        oldest = self.slot - self._window_slots + 1
        return {slot: usage for slot, usage in usages.items() if slot >= oldest}
