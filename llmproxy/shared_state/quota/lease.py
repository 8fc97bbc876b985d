"""The lease: what this instance may dispatch of a limit that all instances share.

The shared window counts, in slots of a quarter of a second, what was granted to all instances in
the last minute. An instance asks for a little ahead of need, so that no call waits for the answer,
and returns what it did not use. What it dispatched without a grant is a debt, charged later to the
slot in which it was dispatched. Why the sum stays within the limit, and by how much it may miss:
docs/decisions/011-one-view.md. `now` is seconds on the monotonic clock.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import msgspec

from llmproxy.shared_state.quota.balance import Balance
from llmproxy.shared_state.quota.demand import DemandForecast
from llmproxy.shared_state.quota.messages import (
    SLOT_S,
    WINDOW_SLOTS,
    BurstLimit,
    QuotaReply,
    QuotaRequest,
)
from llmproxy.shared_state.quota.usage_history import SlotUsage, UsageHistory

CREDIT = 0.02  # of the limit, for all instances together
MIN_RETRY_S, MAX_RETRY_S = 0.02, 0.1  # when to ask again after a refusal
# A window that begins again knows only who has spoken since: until all have, keep to our part.
SETTLE_S = 2.0
MINUTE_S = 60.0
SHORTEST_S, LONGEST_S = 1.0, 10.0  # of the windows by which Azure judges requests


class _Sent(msgspec.Struct, frozen=True):
    """An ask that is under way, and what its answer will be applied to."""

    ask: QuotaRequest
    slot: int
    reports: dict[int, SlotUsage]
    owed_requests: int
    owed_tokens: float


def _nobody() -> None:
    """Nobody asks for us yet."""


class Lease:
    """Mutable; one for each Capacity on each instance. Dispatching is never refused here: `covers`
    tells, `take` counts.

    `share`: None = ask `covers`; a number = the view is lost, keep to this part of the limit.
    `instances`: how many share it, as last known. `on_work` is called when there is something to
    ask and nobody was going to, or not soon. `smooth`: the vendor judges requests by short
    windows, too (Azure). `window_slots` is shorter in tests only.
    """

    __slots__ = (
        "_awake",
        "_check",
        "_credit_requests",
        "_credit_tokens",
        "_demand",
        "_epoch",
        "_has_room",
        "_ledger",
        "_limited",
        "_retry_at",
        "_room_at",
        "_rpm",
        "_sent",
        "_settles_at",
        "_smooth",
        "_tpm",
        "_units",
        "instances",
        "on_work",
        "share",
    )

    def __init__(self, *, smooth: bool = False, window_slots: int = WINDOW_SLOTS) -> None:
        self.share: float | None = 1.0
        self.instances = 1
        self.on_work: Callable[[], None] = _nobody
        self._smooth = smooth
        self._rpm: int | None = None
        self._tpm: int | None = None
        self._limited = False
        self._units = Balance()
        self._ledger = UsageHistory(window_slots)
        self._demand = DemandForecast()
        self._awake = False
        self._check = False
        self._settles_at = 0.0
        self._epoch = ""
        self._sent: _Sent | None = None
        self._has_room = False
        self._credit_requests = 0
        self._credit_tokens = 0
        self._retry_at = 0.0
        self._room_at = 0.0

    def set_limits(self, rpm: float | None, tpm: float | None) -> None:
        """The limits that all instances share, as they are now; None = not known.

        With none, dispatching is free; what was dispatched is counted once there is one.
        """
        was_limited = self._limited
        self._rpm = None if rpm is None else int(rpm)
        self._tpm = None if tpm is None else int(tpm)
        self._limited = rpm is not None or tpm is not None
        self._units.count(requests=rpm is not None, tokens=tpm is not None)
        self._set_credit()
        if self._limited and not was_limited:
            self._ledger.tell_all_again()
            self._wake()

    def set_instances(self, instances: int) -> None:
        """So many instances are there, this one included."""
        self.instances = instances
        if self.share is not None:
            self.share = 1.0 / instances
        self._set_credit()

    def go_local(self) -> None:
        """The shared window does not answer: each instance keeps to its part."""
        self.share = 1.0 / self.instances

    def go_shared(self) -> None:
        """The shared window answers, and there is nothing that it must be told first."""
        if not self._settles_at:
            self.share = None

    def verify_window(self) -> None:
        """The server was away: make sure that it still knows what was dispatched."""
        if self._limited and not self._ledger.is_empty:
            self._check = True
            self._wake()

    def covers(self, tokens: float, now: float) -> bool:
        """May one request with so many tokens be dispatched now? More tokens than the limit count
        as all of it."""
        if not self._limited:
            return True
        if now >= self._ledger.slot_ends_at:
            self._turn(now)
        units = self._units
        if self._tpm is not None and tokens > self._tpm:
            tokens = self._tpm
        if units.requests >= 1 and units.tokens >= tokens:
            return True
        if self._has_room and self._on_credit(tokens):
            return True
        if self._demand.look(tokens) and now >= self._retry_at:
            self._wake()
        return False

    def take(self, tokens: float, now: float) -> None:
        """It is being dispatched. What is not covered becomes a debt."""
        ledger, units = self._ledger, self._units
        if now >= ledger.slot_ends_at:
            self._turn(now)
        ledger.requests += 1
        ledger.tokens += tokens
        if not self._limited:
            return
        requests_left = units.requests - 1
        tokens_left = units.tokens - tokens
        if requests_left < 0 or tokens_left < 0:
            ledger.owe(int(max(0.0, -requests_left)), max(0.0, -tokens_left))
            requests_left, tokens_left = max(0.0, requests_left), max(0.0, tokens_left)
        units.requests, units.tokens = requests_left, tokens_left
        if not self._awake:
            self._wake()

    def give_back(self, tokens: float, at: float) -> None:
        """What was taken at that time was never sent."""
        self._correct(-1, -tokens, at)

    def correct(self, tokens: float, at: float) -> None:
        """What was taken at that time turned out to need so many tokens more; below 0: less."""
        self._correct(0, tokens, at)

    def note_waiting(self, tokens: float) -> None:
        """A call waits for this much: ask for it before all else."""
        self._demand.miss(tokens)
        if self._limited:
            self._wake()

    def wait_s(self, tokens: float, now: float) -> float:
        """Seconds until it may be dispatched; 0.0 = now. An estimate, but when a call was refused
        the shared window has said when there will be enough."""
        if self.covers(tokens, now):
            return 0.0
        return max(MIN_RETRY_S, self._room_at - now)

    @property
    def has_work(self) -> bool:
        """Whether `ask` wants to be called at every tick."""
        return self._awake

    def next_request(self, now: float) -> QuotaRequest | None:
        """What to tell the shared window now, and what to ask it for. The answer is `granted`,
        or `unanswered`; until then there is nothing more to ask."""
        if self._sent is not None or not self._limited:
            return None
        if now >= self._ledger.slot_ends_at:
            self._turn(now)
        ledger, demand = self._ledger, self._demand
        demand.measure(ledger.requests, ledger.tokens, now)
        want_requests, want_tokens = self._wanted(now)
        if self._settles_at and now >= self._settles_at:
            self._settles_at, self.share = 0.0, None
        if not (want_requests or want_tokens or ledger.has_charges or self._check):
            self._awake = (
                self._units.left_over
                or demand.waiting_requests > 0
                or demand.looked_for
                or self._settles_at > 0
            )
            return None
        self._check = False
        known = self._units.left_over or not ledger.is_empty
        waiting = demand.waiting_requests > 0
        need_tokens = demand.first_tokens if waiting else demand.one_call
        if want_requests or want_tokens:
            demand.answer_looks()
        reports = ledger.hand_over()
        ask = QuotaRequest(
            rpm=self._rpm,
            tpm=self._tpm,
            burst=self._burst(),
            instances=self.instances,
            epoch=self._epoch if known else "",
            reports=ledger.as_told(reports),
            waiting=waiting,
            need_requests=min(want_requests, 1),
            need_tokens=min(want_tokens, self._short_of(need_tokens)),
            want_requests=want_requests,
            want_tokens=want_tokens,
        )
        self._sent = _Sent(ask, ledger.slot, reports, ledger.owed_requests, ledger.owed_tokens)
        return ask

    def receive(self, grant: QuotaReply, now: float) -> None:
        """The shared window has answered."""
        sent, self._sent = self._sent, None
        if sent is None:
            return
        if now >= self._ledger.slot_ends_at:
            self._turn(now)
        self._epoch = grant.epoch
        if grant.lost:
            self._begin_again(now)
            return
        if not self._settles_at:
            self.share = None
        self._has_room = grant.has_room
        self._ledger.owed_requests -= sent.owed_requests
        self._ledger.owed_tokens -= sent.owed_tokens
        if grant.requests or grant.tokens:
            self._retry_at = self._room_at = 0.0
            self._demand.met()
            self._add_to_balance(grant, sent.slot)
        elif sent.ask.want_requests or sent.ask.want_tokens:
            self._room_at = now + grant.wait_s
            self._retry_at = now + min(MAX_RETRY_S, max(MIN_RETRY_S, grant.wait_s))

    def request_failed(self) -> None:
        """Nobody knows whether the ask was heard."""
        sent, self._sent = self._sent, None
        if sent is not None:
            self._ledger.take_back(sent.reports)

    def _add_to_balance(self, grant: QuotaReply, asked_slot: int) -> None:
        requests = grant.requests if self._rpm is not None else 0
        tokens = grant.tokens if self._tpm is not None else 0
        age = self._ledger.slot - asked_slot
        if age <= 1:
            self._units.add(requests, tokens, young=age == 0)
        else:
            self._ledger.give_up(requests, tokens, asked_slot)

    def _begin_again(self, now: float) -> None:
        """The window that we knew is gone, with all that was counted in it."""
        self._settles_at = now + SETTLE_S
        self.go_local()
        self._units.clear()
        self._units.count(requests=self._rpm is not None, tokens=self._tpm is not None)
        self._ledger.tell_all_again()
        self._has_room = False
        self._wake()

    def _turn(self, now: float) -> None:
        """A slot is over: nobody may use the oldest units any more."""
        ended = self._ledger.slot
        passed = self._ledger.turn(now)
        self._ledger.give_up(*self._units.grow_older(), ended - 1)
        if passed > 1:
            self._ledger.give_up(*self._units.grow_older(), ended)

    def _wanted(self, now: float) -> tuple[int, int]:
        """How many requests and tokens to ask for."""
        if now < self._retry_at:
            return 0, 0
        units, demand = self._units, self._demand
        requests, tokens = demand.ahead
        # Refilled when half is gone, unless that is too little for a call.
        part = 1.0 if demand.looked_for else 0.5
        if not demand.waiting_requests and (
            units.requests >= requests * part and units.tokens >= tokens * part
        ):
            demand.answer_looks()
            return 0, 0
        requests += demand.waiting_requests
        return (
            max(0, min(requests, self._rpm or 0) - int(min(units.requests, 1e18))),
            self._short_of(tokens + demand.waiting_tokens),
        )

    def _short_of(self, tokens: float) -> int:
        """How many tokens are missing until there are so many, or all that the limit allows."""
        if self._tpm is None:
            return 0
        return max(0, ceil(min(tokens, self._tpm) - self._units.tokens))

    def _on_credit(self, tokens: float) -> bool:
        """A little may be dispatched before it is granted, while the window has room."""
        ledger, units = self._ledger, self._units
        owed_requests = ledger.owed_requests + max(0.0, 1 - units.requests)
        owed_tokens = ledger.owed_tokens + max(0.0, tokens - units.tokens)
        return owed_requests <= self._credit_requests and owed_tokens <= self._credit_tokens

    def _set_credit(self) -> None:
        part = CREDIT / self.instances
        self._credit_requests = int(self._rpm * part) if self._rpm is not None else 0
        self._credit_tokens = int(self._tpm * part) if self._tpm is not None else 0

    def _burst(self) -> BurstLimit | None:
        """Azure judges requests over 1 to 10 s (docs/facts/upstreams.md)."""
        if not self._smooth or not self._rpm:
            return None
        window_s = min(LONGEST_S, max(SHORTEST_S, MINUTE_S / self._rpm))
        slots = ceil(window_s / SLOT_S) + 1
        return BurstLimit(max(1, int(self._rpm * slots * SLOT_S / MINUTE_S)), slots)

    def _correct(self, requests: int, tokens: float, at: float) -> None:
        self._ledger.correct(requests, tokens, at)
        if self._limited and not self._awake:
            self._wake()

    def _wake(self) -> None:
        self._awake = True
        self.on_work()
