"""The lease: what this instance may dispatch of a limit that all instances share.

**The idea.** A window on the server counts what was granted to all instances in the last minute.
Each instance requests a little ahead of need, in the background, so that no call waits for the
server. A call is dispatched from the balance of its own process. What expires unused is given back.

**A call**, with 600 requests a minute and 4 instances:

1. `wait_s` returns 0 if the balance covers the call, or if it fits into the overdraft: 2 % of the
   limit, which is 12 requests for all instances and 3 for this one.
2. `reserve` takes it from the balance. What is not covered is an overdraft, and is reported with
   the next request to the slot (0.25 s) in which it was dispatched.
3. `next_request` requests what 0.1 s of recent traffic needs, and what waiting calls need.
4. `receive` adds what was granted to the balance, where it expires after 0.25 to 0.5 s.

**States.** `share` follows from the state; `Capacity` reads it.

    LOCAL      the server does not answer: keep to 1/instances of each limit
    SHARED     the server answers: the balance decides (`share` is None)
    SETTLING   the server came back empty: keep to 1/instances for 2 s, until all instances have
               reported their last minute again

                 go_shared, receive
        LOCAL  ---------------------->  SHARED
               <----------------------
                     go_local
        LOCAL, SHARED  -- a reply says `lost` -->  SETTLING
        SETTLING       -- 2 s have passed ------>  SHARED

In SETTLING, `go_local` and `go_shared` change nothing: the share is the same as in LOCAL.

Why all instances together stay within the limit, and by how much they may miss it, is proved in
docs/decisions/011-one-view.md. `now` is seconds on the monotonic clock.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from math import ceil

import msgspec

from llmproxy.batteries.shared_state.quota.balance import Balance, SharedLimits
from llmproxy.batteries.shared_state.quota.demand import DemandForecast
from llmproxy.batteries.shared_state.quota.messages import WINDOW_SLOTS, QuotaReply, QuotaRequest
from llmproxy.batteries.shared_state.quota.shared_minute import SharedMinute
from llmproxy.batteries.shared_state.quota.usage_history import SlotUsages, UsageHistory
from llmproxy.rules.capacity.gates import CountingGate
from llmproxy.rules.capacity.window import MinuteWindow

MIN_RETRY_S, MAX_RETRY_S = 0.02, 0.1  # from a refusal to the next request
SETTLE_S = 2.0


class LeaseState(Enum):
    """See the module's docstring."""

    LOCAL = auto()
    SHARED = auto()
    SETTLING = auto()


class _PendingRequest(msgspec.Struct, frozen=True):
    """A request without a reply yet, and what its reply will be applied to."""

    request: QuotaRequest
    slot: int
    reports: SlotUsages
    overdraft_requests: int
    overdraft_tokens: float


class _Exchange:
    """What is known from the exchange of messages with the window. Owned by a Lease.

    `verify`: ask the window whether it still has what we dispatched. `has_room`: the window had
    something left. `retry_at`: request no more before. `room_at`: when a refused call may fit.
    """

    __slots__ = ("epoch", "has_room", "pending", "retry_at", "room_at", "verify")

    def __init__(self) -> None:
        self.pending: _PendingRequest | None = None
        self.epoch = ""
        self.verify = False
        self.has_room = False
        self.retry_at = 0.0
        self.room_at = 0.0


def _no_listener() -> None:
    """Do nothing: no connection sends the requests of this lease yet."""


class Lease:
    """A `SharedQuota`: one for each Capacity on each instance. Mutable. It never refuses.

    `share`: None = the balance decides; a number = keep to this part of the limits. `instances`:
    how many share them, as last known. `has_work`: call `next_request` at every tick. `on_work`
    is called when that becomes true, or urgent. `window_slots` is shorter in tests only.
    """

    __slots__ = (
        "_balance",
        "_demand",
        "_exchange",
        "_history",
        "_limits",
        "_settles_at",
        "_state",
        "has_work",
        "instances",
        "on_work",
        "share",
    )

    def __init__(self, *, smooth: bool = False, window_slots: int = WINDOW_SLOTS) -> None:
        self.share: float | None = 1.0
        self.instances = 1
        self.has_work = False
        self.on_work: Callable[[], None] = _no_listener
        self._state = LeaseState.LOCAL
        self._settles_at = 0.0
        self._limits = SharedLimits(smooth=smooth)
        self._balance = Balance()
        self._history = UsageHistory(window_slots)
        self._demand = DemandForecast()
        self._exchange = _Exchange()

    # ---- what a Capacity calls

    def set_limits(self, rpm: float | None, tpm: float | None) -> None:
        """Set the limits that all instances share; None = not known.

        Without limits every call is dispatched, and counted in case a limit becomes known.
        """
        were_known = self._limits.known
        self._limits.set(rpm, tpm, self.instances)
        self._balance.set_limited(requests=rpm is not None, tokens=tpm is not None)
        if self._limits.known and not were_known:
            self._history.report_last_minute()
            self._wake()

    def gate(self, window: MinuteWindow, rpm: float | None, tpm: float | None) -> CountingGate:
        """Set the limits, and return their gate. `window`: of this instance."""
        self.set_limits(rpm, tpm)
        return SharedMinute(self, window, rpm, tpm)

    def wait_s(self, requests: int, tokens: float, now: float) -> float:
        """Return the seconds until one call with this many tokens may be dispatched; 0 = now.

        After a refusal the window has said when there will be enough. Otherwise a guess.
        """
        if self.covers(tokens, now):
            return 0.0
        return max(MIN_RETRY_S, self._exchange.room_at - now)

    def covers(self, tokens: float, now: float) -> bool:
        """Return whether one call may be dispatched now. More tokens than the limit count as all
        of it."""
        limits = self._limits
        if not limits.known:
            return True
        if now >= self._history.slot_ends_at:
            self._start_slot(now)
        balance = self._balance
        if limits.tpm is not None and tokens > limits.tpm:
            tokens = limits.tpm
        if balance.requests >= 1 and balance.tokens >= tokens:
            return True
        if self._exchange.has_room and self._fits_overdraft(tokens):
            return True
        if self._demand.note_shortage(tokens) and now >= self._exchange.retry_at:
            self._wake()
        return False

    def reserve(self, tokens: float, now: float) -> None:
        """Count a call that is being dispatched. What the balance lacks becomes an overdraft."""
        history, balance = self._history, self._balance
        if now >= history.slot_ends_at:
            self._start_slot(now)
        history.requests += 1
        history.tokens += tokens
        if not self._limits.known:
            return
        requests_left = balance.requests - 1
        tokens_left = balance.tokens - tokens
        if requests_left < 0 or tokens_left < 0:
            history.add_overdraft(int(max(0.0, -requests_left)), max(0.0, -tokens_left))
            requests_left, tokens_left = max(0.0, requests_left), max(0.0, tokens_left)
        balance.requests, balance.tokens = requests_left, tokens_left
        if not self.has_work:
            self._wake()

    def correct(self, tokens: float, sent_at: float, now: float) -> None:
        """Count the tokens that a call used beyond its reservation; below 0: fewer."""
        self._correct(0, tokens, sent_at)

    def give_back(self, tokens: float, sent_at: float, now: float) -> None:
        """Uncount a call that was never sent."""
        self._correct(-1, -tokens, sent_at)

    def note_waiting(self, tokens: float) -> None:
        """Request this before all else: a call waits for it."""
        self._demand.note_waiting(tokens)
        if self._limits.known:
            self._wake()

    # ---- what the synchronisation with the server calls

    def set_instances(self, instances: int) -> None:
        """Set how many instances share the limits, this one included."""
        self.instances = instances
        limits = self._limits
        limits.set(limits.rpm, limits.tpm, instances)
        self._enter(self._state)

    def go_local(self) -> None:
        """Keep to this instance's part: the server does not answer."""
        if self._state is LeaseState.SHARED:
            self._enter(LeaseState.LOCAL)

    def go_shared(self) -> None:
        """Rely on the balance: the server answers, and nothing must be reported to it first."""
        if self._state is LeaseState.LOCAL:
            self._enter(LeaseState.SHARED)

    def verify_window(self) -> None:
        """Ask the window whether it still has what was dispatched: the server was away."""
        if self._limits.known and not self._history.is_empty:
            self._exchange.verify = True
            self._wake()

    def next_request(self, now: float) -> QuotaRequest | None:
        """Return what to send to the window now; None = nothing, or a reply is still to come.

        The caller passes the reply to `receive`, or calls `request_failed`.
        """
        exchange, history, demand = self._exchange, self._history, self._demand
        if exchange.pending is not None or not self._limits.known:
            return None
        if now >= history.slot_ends_at:
            self._start_slot(now)
        demand.measure(history.requests, history.tokens, now)
        want_requests, want_tokens = self._wanted(now)
        if self._state is LeaseState.SETTLING and now >= self._settles_at:
            self._enter(LeaseState.SHARED)
        if not (want_requests or want_tokens or history.has_reports or exchange.verify):
            self.has_work = (
                self._balance.has_unused
                or demand.waiting_requests > 0
                or demand.has_shortage
                or self._state is LeaseState.SETTLING
            )
            return None
        exchange.verify = False
        request, reports = self._request(want_requests, want_tokens)
        exchange.pending = _PendingRequest(
            request, history.slot, reports, history.overdraft_requests, history.overdraft_tokens
        )
        return request

    def receive(self, reply: QuotaReply, now: float) -> None:
        """Apply the window's reply."""
        exchange, history = self._exchange, self._history
        pending, exchange.pending = exchange.pending, None
        if pending is None:
            return
        if now >= history.slot_ends_at:
            self._start_slot(now)
        exchange.epoch = reply.epoch
        if reply.lost:
            self._begin_again(now)
            return
        self.go_shared()
        exchange.has_room = reply.has_room
        history.overdraft_requests -= pending.overdraft_requests
        history.overdraft_tokens -= pending.overdraft_tokens
        if reply.requests or reply.tokens:
            exchange.retry_at = exchange.room_at = 0.0
            self._demand.granted()
            self._add_to_balance(reply, pending.slot)
        elif pending.request.want_requests or pending.request.want_tokens:
            exchange.room_at = now + reply.wait_s
            exchange.retry_at = now + min(MAX_RETRY_S, max(MIN_RETRY_S, reply.wait_s))

    def request_failed(self) -> None:
        """Report again later: the window may not have received the last request."""
        pending, self._exchange.pending = self._exchange.pending, None
        if pending is not None:
            self._history.put_back(pending.reports)

    # ---- inside

    def _enter(self, state: LeaseState) -> None:
        self._state = state
        self.share = None if state is LeaseState.SHARED else 1.0 / self.instances

    def _wake(self) -> None:
        self.has_work = True
        self.on_work()

    def _begin_again(self, now: float) -> None:
        """Report the last minute again: the window that we knew is gone, with all its counts."""
        self._settles_at = now + SETTLE_S
        self._enter(LeaseState.SETTLING)
        self._balance.clear()
        limits = self._limits
        self._balance.set_limited(requests=limits.rpm is not None, tokens=limits.tpm is not None)
        self._history.report_last_minute()
        self._exchange.has_room = False
        self._wake()

    def _start_slot(self, now: float) -> None:
        """Give back what has expired: a slot is over."""
        ended = self._history.slot
        passed = self._history.start_slot(now)
        self._history.return_unused(*self._balance.end_slot(), ended - 1)
        if passed > 1:
            self._history.return_unused(*self._balance.end_slot(), ended)

    def _add_to_balance(self, reply: QuotaReply, requested_in: int) -> None:
        requests = reply.requests if self._limits.rpm is not None else 0
        tokens = reply.tokens if self._limits.tpm is not None else 0
        age_slots = self._history.slot - requested_in
        if age_slots <= 1:
            self._balance.add(requests, tokens, is_new=age_slots == 0)
        else:
            self._history.return_unused(requests, tokens, requested_in)

    def _wanted(self, now: float) -> tuple[int, int]:
        """Return how many requests and tokens to request."""
        if now < self._exchange.retry_at:
            return 0, 0
        balance, demand = self._balance, self._demand
        requests, tokens = demand.ahead
        # Refilled when half is gone, unless a call found that too little.
        part = 1.0 if demand.has_shortage else 0.5
        if not demand.waiting_requests and (
            balance.requests >= requests * part and balance.tokens >= tokens * part
        ):
            demand.end_shortage()
            return 0, 0
        requests += demand.waiting_requests
        return (
            max(0, min(requests, self._limits.rpm or 0) - int(min(balance.requests, 1e18))),
            self._tokens_short_of(tokens + demand.waiting_tokens),
        )

    def _tokens_short_of(self, tokens: float) -> int:
        """Return how many tokens the balance lacks of these, or of the whole limit."""
        if self._limits.tpm is None:
            return 0
        return max(0, ceil(min(tokens, self._limits.tpm) - self._balance.tokens))

    def _request(self, want_requests: int, want_tokens: int) -> tuple[QuotaRequest, SlotUsages]:
        """Return a request, and the reports in it as they were."""
        history, demand, limits = self._history, self._demand, self._limits
        knows_window = self._balance.has_unused or not history.is_empty
        waiting = demand.waiting_requests > 0
        need_tokens = demand.first_tokens if waiting else demand.call_tokens
        if want_requests or want_tokens:
            demand.end_shortage()
        reports = history.take_reports()
        request = QuotaRequest(
            rpm=limits.rpm,
            tpm=limits.tpm,
            burst=limits.burst(),
            instances=self.instances,
            epoch=self._exchange.epoch if knows_window else "",
            reports=history.as_messages(reports),
            waiting=waiting,
            need_requests=min(want_requests, 1),
            need_tokens=min(want_tokens, self._tokens_short_of(need_tokens)),
            want_requests=want_requests,
            want_tokens=want_tokens,
        )
        return request, reports

    def _fits_overdraft(self, tokens: float) -> bool:
        """Return whether the call may be dispatched before it is granted."""
        history, balance, limits = self._history, self._balance, self._limits
        requests_over = history.overdraft_requests + max(0.0, 1 - balance.requests)
        tokens_over = history.overdraft_tokens + max(0.0, tokens - balance.tokens)
        return requests_over <= limits.overdraft_requests and tokens_over <= limits.overdraft_tokens

    def _correct(self, requests: int, tokens: float, sent_at: float) -> None:
        self._history.correct(requests, tokens, sent_at)
        if self._limits.known and not self.has_work:
            self._wake()
