"""A fake proxy: three groups, eight endpoints, calls that come and go.

Its values depend on the time and on what a test has set, so two reads agree.
"""

import math
import random
from dataclasses import dataclass, field
from time import time

from tests.browser.fake_keys import Keys
from tests.browser.fake_spend import Spend
from tests.browser.made_up import point_at, recent, trace

STARTED_AGO_S = 200_000
# seconds ago, what happened, to what
MARKS = (
    *((900_000, "reload", None), (200_000, "start", None), (420, "reload", None)),
    *((260, "outage", "azure-west"), (120, "drain", "azure-north")),
)
# What the store does not know of a point.
STORED = {"retries": None, "cache_hits": None, "cache_misses": None, "total_mean_ms": 1_900.0}
STORED |= dict.fromkeys(("first_byte_p50_ms", "first_byte_p99_ms", "overhead_p50_ms"))
# group -> (endpoint, tier, weight, requests a minute, tokens a minute, concurrent)
HOUSE = {
    "gpt-4.1": [
        ("azure-east", 0, 2, 600, 200_000, None),
        ("azure-west", 0, 1, 300, 120_000, None),
        ("openai", 1, 1, 10_000, 2_000_000, None),
    ],
    "gpt-4.1-mini": [
        ("azure-west", 0, 3, 1_500, 900_000, None),
        ("azure-north", 0, 1, 300, 150_000, None),
        ("openai", 1, 0, None, None, None),
    ],
    "text-embedding-3-small": [
        ("vllm-local", 0, 1, None, None, 64),
        ("openai", 1, 1, 5_000, 5_000_000, None),
    ],
}
SHARES = {"gpt-4.1": 0.3, "gpt-4.1-mini": 0.5, "text-embedding-3-small": 0.2}
# What an incident does: (group, endpoint) -> (state, reason, breaker, ready in s, since s ago)
INCIDENT = {
    ("gpt-4.1", "azure-east"): ("cooling", "throttled", "closed", 42.0, 18),
    ("gpt-4.1", "azure-west"): ("open", None, "open", 12.0, 190),
    ("gpt-4.1-mini", "azure-west"): ("full", None, "closed", 3.2, 4),
    ("gpt-4.1-mini", "azure-north"): (
        *("misconfigured", "credential_rejected", "closed"),
        *(281.0, 4_000),
    ),
    ("gpt-4.1-mini", "openai"): ("half-open", "server_error", "half-open", 0.0, 2),
    ("text-embedding-3-small", "openai"): ("drained", None, "closed", 0.0, 7_300),
}


@dataclass
class World:
    """What a test may set; `done` lists the actions of the page."""

    incident: bool = False
    empty: bool = False
    key: str | None = None
    cache: bool = True
    config_error: str | None = None
    shared: dict | None = None
    status: str | None = None
    stopped: bool = False  # accepts requests and does not answer
    silent: bool = False  # keeps streams open, and sends nothing
    forbidden: str | None = None  # the error for another machine
    reload_problems: str | None = None
    refuse_actions: bool = False
    names: dict = field(default_factory=dict)  # other names for endpoints
    house: dict = field(default_factory=lambda: HOUSE)
    faults: dict = field(default_factory=dict)  # as INCIDENT
    marks: list = field(default_factory=lambda: list(MARKS))
    slow: set = field(default_factory=set)  # of (group, endpoint)
    unpriced: set = field(default_factory=set)  # of (group, endpoint)
    sessions: set = field(default_factory=set)
    drained: set = field(default_factory=set)
    cleared: set = field(default_factory=set)
    calls: list = field(default_factory=list)  # newest first
    done: list = field(default_factory=list)
    keys: Keys = field(default_factory=Keys)
    spend: Spend = field(default_factory=Spend)

    def __post_init__(self):
        self.began_at = time()
        self._next = 0

    def state(self):
        now = time()
        groups = [self._group(name, now) for name in self.house]
        out = any(group["status"] != "ok" for group in groups)
        return {
            "version": "0.1.0",
            "status": self.status or ("degraded" if out else "ok"),
            "now": now,
            "started_at": now - (60 if self.empty else STARTED_AGO_S),
            "workers": 4,
            "config": self._config(now),
            "shared": self.shared,
            "in_flight": sum(group["in_flight"] for group in groups),
            "recent": recent(now, 0 if self.empty else 1.0, incident=self.incident),
            "totals": self._totals(),
            "groups": groups,
            "cache": self._cache(),
            "database": None,
            "lost": {"access_log": 0},
        }

    def history(self, span, group):
        step, number = {"15m": (5, 180), "24h": (300, 288), "7d": (3600, 168)}.get(
            span, (14_400, 180)
        )
        last = math.floor(time() / step) * step - step
        share = 0 if self.empty else 1.0 if group is None else 0.4
        since = self.began_at - 260 if self.incident else None
        stored = step >= 3600
        return {
            "step_s": step,
            "source": "store" if stored else "memory",
            "since": time() - STARTED_AGO_S,
            "note": None,
            "marks": [
                {"at": self.began_at - ago, "what": what, "subject": subject}
                for ago, what, subject in self.marks
            ],
            "points": [
                point_at(last - step * back, step, share, since) | (STORED if stored else {})
                for back in range(number - 1, -1, -1)
            ],
        }

    def more_calls(self, number=1):
        """New calls; returns them, newest first."""
        fresh = []
        for _ in range(number):
            self._next += 1
            fresh.insert(0, trace(self._next, self.began_at, incident=self.incident))
        self.calls = [*fresh, *self.calls][:200]
        return fresh

    def _config(self, now):
        return {
            "source": "llmproxy.yaml",
            "loaded_at": now - 4_000,
            "reloads": 3,
            "failed_reloads": 1 if self.config_error else 0,
            "error": self.config_error,
            "error_at": now - 300 if self.config_error else None,
        }

    def _totals(self):
        names = "calls errors input_tokens output_tokens cached_tokens cost_usd cache_hits "
        names += "cache_misses saved_tokens saved_usd retries failovers streams_interrupted "
        names += "unknown_cost_calls prompt_cache_saved_usd"
        values = (812_345, 1_204, 9.1e8, 1.2e8, 2.2e8, 1_873.4, 61_220, 204_118, 7.4e7, 148.2)
        values = (*values, 4_120, 3_377, 41, 0, 0.0)
        all_of_them = dict(zip(names.split(), values, strict=True))
        return dict.fromkeys(all_of_them, 0) if self.empty else all_of_them

    def _cache(self):
        if not self.cache:
            return None
        kept = (0, 0) if self.empty else (18_204, 61_400_000)
        return {"entries": kept[0], "bytes": kept[1], "store": {"connected": True, "why": None}}

    def _group(self, name, now):
        endpoints = [self._endpoint(name, row, now) for row in self.house[name]]
        out = [endpoint["state"] not in ("ok", "full") for endpoint in endpoints]
        return {
            "group": name,
            "status": "down" if all(out) else "degraded" if any(out) else "ok",
            "waiting": 3 if self.incident and name == "gpt-4.1-mini" else 0,
            "in_flight": sum(endpoint["in_flight"] for endpoint in endpoints),
            "recent": recent(
                now, 0 if self.empty else SHARES.get(name, 0.05), incident=self.incident
            ),
            "endpoints": endpoints,
        }

    def _endpoint(self, group, row, now):
        name, tier, weight, rpm, tpm, concurrent = row
        draw = random.Random(f"{group}{name}{int(now)}")
        state, reason, breaker, ready, ago = "ok", None, "closed", 0.0, 86_000
        faults = INCIDENT if self.incident else self.faults
        if (group, name) in faults and (group, name) not in self.cleared:
            state, reason, breaker, left, ago = faults[group, name]
            ready = max(0.4, left - (now - self.began_at)) if left else 0.0
        if (group, name) in self.drained:
            state, reason, ago = "drained", None, 3
        idle = self.empty or state not in ("ok", "full")
        used = 0 if idle else 1.0 if state == "full" else 0.3 + 0.25 * draw.random()

        def level(limit):
            if limit is None:
                return None
            left = round(limit * (1 - used) * (0.9 + 0.1 * draw.random()), 1)
            return {"limit": limit, "left": left, "configured": limit}

        endpoint = {
            "endpoint": self.names.get(name, name),
            "state": state,
            "why": None if state == "ok" else "a sentence that the page does not read",
            "reason": reason,
            "probing": state == "half-open",
            "ready_in_s": ready,
            "since": self.began_at - ago,
            "tier": tier,
            "weight": weight,
            "breaker": breaker,
            "drained": state == "drained",
            "slow": None,
            "in_flight": 0 if idle else draw.randint(1, 9),
            "capacity": {
                "requests": level(rpm),
                "tokens": level(tpm),
                "concurrent": level(concurrent),
            },
            "recent": recent(
                now + len(group + name),
                0 if idle else SHARES.get(group, 0.05) / (2 + tier),
                incident=False,
            ),
        }
        return self._with_marks(endpoint, group, name)

    def _with_marks(self, endpoint, group, name):
        """Mark what a test calls slow or without a price."""
        if (group, name) in self.slow:
            slow = {"first_byte_ms": 4_100.0, "usual_ms": 340.0, "since": self.began_at - 200}
            endpoint["slow"] = slow
            endpoint["recent"] |= {"first_byte_p50_ms": 4_100.0}
        if (group, name) in self.unpriced:
            calls = endpoint["recent"]["calls"]
            endpoint["recent"] |= {"cost_usd": 0.0, "unknown_cost_calls": calls}
        return endpoint
