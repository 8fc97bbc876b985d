"""The affinity of a group: a call of a conversation prefers the endpoint that served the last one.

It is only a preference. Whether an endpoint takes a call (health, limits, exclusions), in which
order tiers are asked and how the strategy shares calls is decided before, and holds.

    a call                                          goes, within its tier, to
    ---------------------------------------------   -------------------------------------------
    of a conversation that was served lately        the endpoint that served it
    ... which takes no calls, or is in slow start   as a new one
    ... of which more than 30 calls came in a       as a new one, if its endpoint is ahead of its
        minute: many have the same beginning        share
    of a conversation that is new                   the first by rendezvous hashing that is not
                                                    ahead of its share
    ... and other instances serve it, too           the first by rendezvous hashing, of shares that
                                                    are less for those that are ahead
    of no conversation, or a short prompt           whose turn it is, of those that are not ahead
                                                    by more than 4 %

The first line bends the weights; the others make up for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

from llmproxy.batteries.affinity.balance import TierBalance
from llmproxy.batteries.affinity.keys import NAMELESS, Naming, naming_of
from llmproxy.batteries.affinity.memory import Memory
from llmproxy.batteries.affinity.prompt_caches import BYTES_PER_TOKEN, any_rules_of
from llmproxy.batteries.affinity.rendezvous import preferred
from llmproxy.calls import Call
from llmproxy.config import Affinity as Mode
from llmproxy.config import Price
from llmproxy.routing import CallDemand, EndpointState, Tier

# A typical call has three input tokens for each output token.
INPUT_PARTS, OUTPUT_PARTS = 3, 1
# A new conversation counts as so many calls, because its other turns go the same way.
BEGIN_COUNTS = 5.0
MAX_AHEAD = 0.04  # of its share: an endpoint that is more ahead gets no calls without a preference
# Why an endpoint was preferred, for a call's trace.
KEPT = "served the conversation last"
CHEAPER = "has the prompt cached, which costs less than a cheaper endpoint"
MOVED = "in place of the endpoint that served the conversation last"
SHARED = "in place of one that got too many calls with the same beginning"
NEW = "by the conversation's hash"
OPERATIONS = frozenset(("chat/completions", "responses", "messages"))


class GroupAffinity:
    """The affinity of one group. Its memory survives a reload.

    `min_bytes`: bodies below have no preference, because nothing of them is cached.
    `is_one_of_several`: instances serve the same conversations, and must agree.
    """

    __slots__ = (
        "_balances",
        "_by_session",
        "_nameless",
        "_names",
        "is_one_of_several",
        "memory",
        "min_bytes",
    )

    def __init__(self) -> None:
        self.memory = Memory()
        self.min_bytes = 0
        self.is_one_of_several = False
        self._by_session = False
        self._balances: dict[Tier, TierBalance] = {}
        self._names: dict[EndpointState, bytes] = {}
        self._nameless = ConversationTurn(self, *NAMELESS)  # one for all calls that prefer nothing

    def adopt(
        self, mode: Mode, states: Sequence[EndpointState], *, is_one_of_several: bool
    ) -> bool:
        """Serve the endpoints of a config from now on; returns whether calls may prefer some."""
        rules = any_rules_of(state.endpoint for state in states)
        if mode == "off" or len(states) < 2 or (rules is None and mode != "session"):
            return False
        self._by_session = mode == "session"
        self.is_one_of_several = is_one_of_several
        self.min_bytes = 0
        if rules is not None:
            self.memory.kept_s = rules.kept_s
            if not self._by_session:
                self.min_bytes = rules.min_tokens * BYTES_PER_TOKEN
        self._balances = {}
        self._names = {state: state.endpoint.name.encode() for state in states}
        return True

    def __call__(self, call: Call) -> ConversationTurn:
        """Return what is known of a call's conversation."""
        body = call.body
        if call.route.path not in OPERATIONS or (
            isinstance(body, bytes) and len(body) < self.min_bytes
        ):
            return self._nameless
        return ConversationTurn(self, *naming_of(call, by_session=self._by_session))

    def turn_of(self, key: bytes, tokens: int, *, goes_on: bool) -> ConversationTurn:
        """Return the turn of a conversation with this key. `tokens`: of its prompt."""
        naming = Naming(key, goes_on)
        if tokens * BYTES_PER_TOKEN < self.min_bytes:
            naming = NAMELESS
        return ConversationTurn(self, *naming)

    def balance_of(self, tier: Tier, now: float) -> TierBalance:
        """Return what the endpoints of a tier got so far."""
        balance = self._balances.get(tier)
        if balance is None:
            balance = self._balances[tier] = TierBalance(len(tier.states))
        balance.pass_time(now)
        return balance

    def names_of(self, tier: Tier) -> list[bytes]:
        """Return what rendezvous hashing knows the endpoints of a tier by."""
        return [self._names[state] for state in tier.states]


class ConversationTurn:
    """One call as a turn of its conversation. Mutable; owned by the call's demand.

    `goes_on`: the conversation has earlier turns. `_chosen`, `_why`: the endpoint that was
    preferred last, and the reason.
    """

    __slots__ = ("_affinity", "_chosen", "_goes_on", "_key", "_why")

    def __init__(self, affinity: GroupAffinity, key: bytes | None, goes_on: bool) -> None:
        self._affinity = affinity
        self._key = key
        self._goes_on = goes_on
        self._chosen: EndpointState | None = None
        self._why = ""

    def served(self, state: EndpointState, now: float) -> str | None:
        """Note which endpoint has accepted the call; returns why it was preferred, if it was."""
        if self._key is None:
            return None
        self._affinity.memory.note(self._key, state, now)
        return self._why if state is self._chosen else None

    def takes_turns(self, tier: Tier, shares: Sequence[float], now: float) -> bool:
        """Return whether it prefers none and conversations have taken nothing: then count it."""
        if self._key is not None:
            return False
        balance = self._affinity.balance_of(tier, now)
        if balance.is_even:
            balance.give_evenly(shares)
        return balance.is_even

    def choose(self, tier: Tier, weights: list[float], now: float) -> EndpointState:
        """Return the endpoint of a tier that takes the call. `weights`: 0 = it does not take it."""
        balance = self._affinity.balance_of(tier, now)
        shares = tier.shares(weights, now)
        if self._key is None:
            return _whose_turn_it_is(tier, weights, shares, balance, now)
        place = self._kept(tier, weights, balance, now)
        if place is None:
            place = self._placed(tier, weights, shares, balance)
        self._chosen = tier.states[place]
        calls = BEGIN_COUNTS if self._why in (NEW, MOVED) else 1.0
        balance.give([float(place == other) for other in range(len(shares))], shares, calls)
        return self._chosen

    def dearer(self, tiers: Sequence[Tier], demand: CallDemand, now: float) -> EndpointState | None:
        """Return an endpoint behind the first tier where the call costs less than in the tiers
        before it, because its prompt is cached there; None if there is none."""
        if self._key is None:
            return None
        served = self._affinity.memory.find(self._key, now)
        if served is None or served.state in tiers[0].states:
            return None
        state = served.state
        if state in demand.excluded or not state.takes(demand.tokens_at(state), now):
            return None
        cached_usd = _usd(state, cached=True)
        for tier in tiers:
            if state in tier.states:
                self._chosen, self._why = state, CHEAPER
                return state
            if not all(_usd(other) >= cached_usd for other in tier.states):
                return None
        return None

    def _kept(
        self, tier: Tier, weights: Sequence[float], balance: TierBalance, now: float
    ) -> int | None:
        """Return the endpoint that served the conversation last, if the call may go there."""
        served = None if self._key is None else self._affinity.memory.find(self._key, now)
        if served is None or served.state not in tier.states:
            return None
        self._goes_on = False  # whatever comes now begins here
        place = tier.states.index(served.state)
        self._why = MOVED
        if not weights[place] or served.state.breaker.share(now) < 1:
            return None
        if served.is_busy(now) and balance.is_ahead(place, MAX_AHEAD):
            self._why = SHARED
            return None
        self._why = KEPT
        return place

    def _placed(
        self,
        tier: Tier,
        weights: Sequence[float],
        shares: Sequence[float],
        balance: TierBalance,
    ) -> int:
        """Return the endpoint for a conversation that none of this tier has served lately."""
        if self._why == KEPT:  # an earlier attempt failed there
            self._why = MOVED
        self._why = self._why or NEW
        allowed = weights if self._goes_on else shares
        key, names = self._key or b"", self._affinity.names_of(tier)
        if (self._goes_on or self._affinity.is_one_of_several) and self._why != SHARED:
            return preferred(key, names, balance.leaned(allowed))[0]
        ranked = preferred(key, names, allowed)
        for place in ranked:
            if not balance.is_ahead(place):
                return place
        return balance.least_ahead(ranked)


def _whose_turn_it_is(
    tier: Tier, weights: list[float], shares: list[float], balance: TierBalance, now: float
) -> EndpointState:
    """Return the endpoint of a call that prefers none, which evens out what conversations take."""
    if balance.is_even:
        balance.give_evenly(shares)
        return tier.take(shares)
    behind = [
        0.0 if balance.is_ahead(place, MAX_AHEAD) else weight
        for place, weight in enumerate(weights)
    ]
    got = tier.shares(behind, now) if any(behind) else shares
    balance.give(got, shares)
    return tier.take(got)


def _usd(state: EndpointState, *, cached: bool = False) -> float:
    """Return the dollars of a typical call, all of its prompt cached or none; NaN: unknown."""
    price = state.endpoint.price
    if not isinstance(price, Price):
        return nan
    into = price.input
    if cached and price.cached_input is not None:
        into = price.cached_input
    return INPUT_PARTS * into + OUTPUT_PARTS * price.output
