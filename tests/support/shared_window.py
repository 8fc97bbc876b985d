"""A plain implementation of the shared window; window.lua must agree with it.

Tests simulate many instances with it, on their own clock. The comparison with the script is in
tests/shared_state/test_shared_windows.py.
"""

from dataclasses import dataclass, field
from math import ceil, inf

from llmproxy.batteries.shared_state.quota import SLOT_S, WINDOW_SLOTS, QuotaReply

SLOT_MS = int(SLOT_S * 1000)
CLAIM_MS = 300


@dataclass
class Claim:
    """The claim of the instance that was refused first and is served first."""

    till: int
    requests: int
    tokens: int
    who: str


@dataclass
class SharedWindow:
    """One window. Times are whole milliseconds; `slots`: requests and tokens by slot number."""

    window_slots: int = WINDOW_SLOTS
    epoch: str = ""
    newest: int = 0
    slots: dict[int, tuple[int, int]] = field(default_factory=dict)
    claim: Claim | None = None

    def lose(self):
        """Lose everything, like a server that comes back empty."""
        self.epoch, self.slots, self.claim = "", {}, None

    def answer(self, who, ask, now_ms):
        slot = now_ms // SLOT_MS
        if not self.epoch:
            self.epoch, self.newest = f"{now_ms}.{who}", slot
        self.newest = max(self.newest, slot)
        forgotten = self.newest - self.window_slots
        self.slots = {number: usage for number, usage in self.slots.items() if number > forgotten}
        if ask.epoch and ask.epoch != self.epoch:
            return QuotaReply(self.epoch, True, 0, 0, False, 0.0)
        for report in ask.reports:
            self._add(report.age_slots, report.requests, report.tokens)
        free_requests, free_tokens, bursts = self._free(who, ask, now_ms)
        asked = ask.want_requests > 0 or ask.want_tokens > 0
        enough = free_requests >= ask.need_requests and free_tokens >= ask.need_tokens
        others = self.claim is not None and self.claim.who != who
        requests = tokens = wait_ms = 0
        if asked and enough:
            requests = _part(free_requests, ask.need_requests, ask.want_requests, ask.instances)
            tokens = _part(free_tokens, ask.need_tokens, ask.want_tokens, ask.instances)
            self._add(0, requests, tokens)
            self.claim = self.claim if others else None
        elif asked:
            if ask.waiting and not others:
                self.claim = Claim(now_ms + CLAIM_MS, ask.need_requests, ask.need_tokens, who)
            short = ask.need_requests - free_requests, ask.need_tokens - free_tokens
            wait_ms = SLOT_MS if bursts else self._wait_ms(*short, now_ms)
        has_room = free_requests > requests and free_tokens > tokens
        return QuotaReply(self.epoch, False, requests, tokens, has_room, wait_ms / 1000)

    def used(self):
        """Requests and tokens in the window."""
        return _sum(self.slots.values())

    def _add(self, age, requests, tokens):
        if age < self.window_slots:
            slot = self.newest - age
            before = self.slots.get(slot, (0, 0))
            self.slots[slot] = (before[0] + requests, before[1] + tokens)

    def _free(self, who, ask, now_ms):
        requests, tokens = self.used()
        free_requests = inf if ask.rpm is None else ask.rpm - requests
        free_tokens = inf if ask.tpm is None else ask.tpm - tokens
        bursts = False
        if ask.burst is not None:
            since = self.newest - ask.burst.slots
            recent, _ = _sum(usage for slot, usage in self.slots.items() if slot > since)
            bursts = ask.burst.requests - recent < min(free_requests, ask.need_requests)
            free_requests = min(free_requests, ask.burst.requests - recent)
        if self.claim is not None and self.claim.till <= now_ms:
            self.claim = None
        if self.claim is not None and self.claim.who != who:
            free_requests -= self.claim.requests
            free_tokens -= self.claim.tokens
        return free_requests, free_tokens, bursts

    def _wait_ms(self, short_requests, short_tokens, now_ms):
        for slot in range(self.newest - self.window_slots + 1, self.newest + 1):
            requests, tokens = self.slots.get(slot, (0, 0))
            short_requests -= requests
            short_tokens -= tokens
            if short_requests <= 0 and short_tokens <= 0:
                return (slot + self.window_slots) * SLOT_MS - now_ms
        return self.window_slots * SLOT_MS


def _sum(reports):
    requests = tokens = 0
    for report in reports:
        requests += report[0]
        tokens += report[1]
    return requests, tokens


def _part(free, need, want, instances):
    if free == inf:
        return want
    return max(0, min(want, free, max(need, ceil(free / instances))))
