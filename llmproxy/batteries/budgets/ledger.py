"""The ledger of one budget in one period: what this instance may still spend of it.

**Alone.** Without a shared server, the amount less what is known to be spent is left.

**Shared.** The server keeps what all instances have spent and what each of them holds. This
instance may spend what it holds. In the background it tells the server what it has spent, and
takes the next part before it needs it:

1. It first decides by itself how much it keeps (`keeps`), and forgets the rest. So the server never
   takes anything away that a call has just reserved.
2. It asks to hold its part of what is left (`wants`), and at least what its calls have reserved and
   wait for. As the rest shrinks, so do the parts.
3. The reply says what it holds now, and whether an instance is short of anything. Then each one
   gives back all that its calls do not need.

Of what is left, an instance holds at most an equal part, unless its calls need more. If the server
is away, each keeps to what it holds, so all together cannot spend more than there is.

Pure: `now` is an argument. Amounts are nano-dollars or tokens.
"""

from __future__ import annotations

import msgspec

from llmproxy.batteries.budgets.periods import Period

IDLE_S = 10.0  # an instance without calls for so long gives everything back
SHORT_S = 0.15  # after a reply says that one is short, an instance holds no more than it needs


class LedgerRequest(msgspec.Struct, frozen=True, array_like=True):
    """What an instance tells the server, and asks of it. See the module's docstring.

    `own`: spent here in this period, ever growing, so that a repeated request counts once;
    `own_before`: the part of it that `known` contains. `keeps`: may be more than it kept, if the
    server has forgotten. `short`: a call waits for `wants`.
    """

    amount: int
    known: int
    own: int
    own_before: int
    keeps: int
    wants: int
    short: int


class LedgerReply(msgspec.Struct, frozen=True, array_like=True):
    """The answer: spent by all, held by this instance, by the others, whether one is short."""

    spent: int
    held: int
    others: int
    short: int


class Ledger:
    """Mutable; owned by an BudgetAccount. `own`: spent by this instance. `held`: None = alone."""

    __slots__ = (
        "_has_its_part",
        "_own_before",
        "_short_until",
        "amount",
        "held",
        "last_used",
        "others",
        "own",
        "period",
        "reserved",
        "spent",
        "waiting",
    )

    def __init__(self, period: Period, amount: int, *, shared: bool) -> None:
        self.period = period
        self.amount = amount
        self.own = 0
        self.reserved = 0
        self.held: int | None = 0 if shared else None
        self.others = 0  # held by other instances
        self.waiting = 0  # what calls wait for
        self.last_used = 0.0
        self.spent = 0  # by all instances, as far as this one knows
        self._own_before = 0
        self._short_until = 0.0
        self._has_its_part = False  # since the server is away

    @property
    def left(self) -> int:
        """What is not spent, reserved or held by others; may be negative."""
        return self.amount - self.spent - self.reserved - self.others

    @property
    def free(self) -> int:
        """What the next call here may reserve."""
        left = self.left
        return left if self.held is None else min(left, self.held - self.reserved)

    def reserve(self, amount: int, now: float) -> bool:
        """Set something aside for a call; False if there is not so much."""
        self.last_used = now
        if amount > self.free:
            return False
        self.reserved += amount
        return True

    def release(self, amount: int) -> None:
        """End a reservation."""
        self.reserved -= amount

    def spend(self, amount: int) -> None:
        """Count what a call has cost."""
        self.own += amount
        self.spent += amount
        if self.held is not None:
            self.held -= amount

    def learn(self, spent: int, own: int) -> None:
        """Take over what is known to be spent, so much of it by this instance."""
        self._own_before = own
        self.spent = spent + self.own - own

    def may_get(self, amount: int) -> bool:
        """Whether waiting may help a call: it is not spent yet, here or elsewhere."""
        return self.held is not None and amount <= self.amount - self.spent - self.reserved

    def request(self, instances: int, now: float) -> LedgerRequest:
        """Return the next request. What is not kept any more is forgotten now."""
        held = self.held or 0
        left = max(0, self.amount - self.spent)
        part = -(-left // max(1, instances))
        needed = self.reserved + self.waiting
        if now < self._short_until or self.waiting:
            part = needed
        elif now - self.last_used > IDLE_S:
            part = self.reserved
        self.held = max(self.reserved, min(held, max(part, needed)))
        short = self.waiting > 0
        self.waiting = 0
        wants = max(part, needed, self.held)
        known = self.spent - self.own + self._own_before
        return LedgerRequest(
            *(self.amount, known, self.own, self._own_before),
            keeps=self.held,
            wants=wants,
            short=int(short),
        )

    def receive(self, request: LedgerRequest, reply: LedgerReply, now: float) -> None:
        """Apply the reply to a request; what was spent since was spent of what is held."""
        self.learn(reply.spent, request.own)
        self._has_its_part = False
        if self.held is not None:
            self.held += reply.held - request.keeps
        self.others = reply.others
        if reply.short:
            self._short_until = now + SHORT_S

    def keep_part(self, instances: int) -> None:
        """Keep to a part, once, because the server is away: what is held, and an equal part of what
        nobody held."""
        if self.held is None or self._has_its_part:
            return
        self._has_its_part = True
        unheld = self.amount - self.spent - self.others - self.held
        self.held += max(0, unheld) // max(1, instances)
