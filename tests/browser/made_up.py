"""Realistic statistics and calls, generated from a moment or a number."""

import math
import random

GROUPS = ("gpt-4.1", "gpt-4.1", "gpt-4.1-mini", "gpt-4.1-mini", "text-embedding-3-small")
FIRST = {"gpt-4.1": "azure-east", "gpt-4.1-mini": "azure-west"}
SECOND = {"gpt-4.1": "azure-west", "gpt-4.1-mini": "azure-north"}
CALLERS = ("checkout", "support-bot", "search", None)


def load(at):
    """Calls a second at a moment: a day's curve, a wave and some noise."""
    day = 0.55 + 0.45 * math.sin((at % 86_400) / 86_400 * 2 * math.pi - 1.9)
    return 14 * day + 3 * math.sin(at / 97) + random.Random(int(at)).uniform(-1.2, 1.2) + 4


def point_at(at, step_s, share, incident_since=None):
    """A point of the history. `share`: of the whole load; 0 is an idle proxy."""
    draw = random.Random(f"point {at}")
    sick = incident_since is not None and at >= incident_since
    calls = max(0, round(load(at) * step_s * share))
    hits = round(calls * draw.uniform(0.10, 0.16))
    slow = 2.4 if sick else 1.0
    p50 = (380 + 60 * math.sin(at / 240) + draw.uniform(-25, 25)) * (1.3 if sick else 1)
    known = calls > 0
    return {
        "at": at,
        "calls": calls,
        "errors": round(calls * draw.uniform(0.04, 0.13))
        if sick
        else int(draw.random() < 0.15) * known,
        "retries": round(calls * draw.uniform(0.2, 0.4))
        if sick
        else round(calls * draw.uniform(0, 0.02)),
        "input_tokens": round(calls * draw.uniform(1_000, 1_300)),
        "output_tokens": round(calls * draw.uniform(210, 270)),
        "cost_usd": calls * draw.uniform(0.0019, 0.0025),
        "saved_usd": hits * draw.uniform(0.0019, 0.0025),
        "cache_hits": hits,
        "cache_misses": round(calls * 0.35),
        "first_byte_p50_ms": p50 if known else None,
        "first_byte_p99_ms": p50 * draw.uniform(3.4, 4.6) * slow if known else None,
        "total_p50_ms": p50 * 4 if known else None,
        "total_p99_ms": p50 * 16 if known else None,
        "total_mean_ms": None,
        "overhead_p50_ms": draw.uniform(0.07, 0.1) if known else None,
    }


def recent(now, share, *, incident):
    """The last 60 s."""
    point = point_at(math.floor(now / 10) * 10, 60, share, now - 11 if incident else None)
    return {
        "calls": point["calls"],
        "errors": point["errors"],
        "error_rate": point["errors"] / point["calls"] if point["calls"] else 0.0,
        "calls_per_s": point["calls"] / 60,
        "input_tokens": point["input_tokens"],
        "output_tokens": point["output_tokens"],
        "cost_usd": point["cost_usd"],
        "unknown_cost_calls": 0,
        "prompt_cache_saved_usd": 0.0,
        "cached_tokens": 0,
        "first_byte_p50_ms": point["first_byte_p50_ms"],
        "first_byte_p99_ms": point["first_byte_p99_ms"],
    }


def trace(number, at, *, incident):
    """Return the call with a number: usually answered, sometimes moved, cached or failed."""
    draw = random.Random(f"call {number}")
    group = draw.choice(GROUPS)
    kind = draw.choices(
        ("fine", "cached", "moved", "failed", "fallback"),
        (70, 14, 40, 12, 6) if incident else (82, 14, 3, 1, 0),
    )[0]
    first_ms = draw.uniform(180, 900)
    call = {
        "id": f"req_{draw.getrandbits(64):016x}{number:08x}",
        "at": at + number * 0.3 - 40,
        "request": "POST /v1/embeddings" if "embed" in group else "POST /v1/chat/completions",
        "stream": "embed" not in group and draw.random() < 0.6,
        "group": group,
        "fallback": None,
        "model": group,
        "caller": draw.choice(CALLERS),
        "team": None,
        "key": None,
        "end_user": None,
        "tags": [],
        "client": "10.0.3.17",
        "endpoint": FIRST.get(group, "vllm-local"),
        "status": 200,
        "error": None,
        "error_source": None,
        "upstream_id": None,
        "attempts": 1,
        "cache": "miss" if draw.random() < 0.3 else None,
        "first_byte_ms": first_ms,
        "total_ms": first_ms * draw.uniform(1.1, 7),
        "overhead_ms": draw.uniform(0.05, 0.12),
        "waited_ms": 0.0,
        "input_tokens": draw.randint(60, 4_000),
        "output_tokens": draw.randint(10, 900),
        "cached_tokens": draw.choice((0, 0, 512)),
        "cost_usd": draw.uniform(0.0004, 0.02),
        "cost_basis": "exact",
        "steps": [attempt(FIRST.get(group, "vllm-local"), 0.2, first_ms)],
    }
    return {**call, **CHANGES[kind](call, draw)}


def attempt(endpoint, at_ms, ms, **failed):
    """Return an attempt of a trace; by default an answered one."""
    step = {"what": "attempt", "endpoint": endpoint, "at_ms": at_ms, "ms": ms}
    step |= {"outcome": "answered", "reason": None, "status": 200, "verdict": None}
    return step | failed


def _moved(call, draw):
    first, second = FIRST.get(call["group"], "vllm-local"), SECOND.get(call["group"], "openai")
    failed = {"outcome": "failed", "reason": "server_error", "status": 503}
    why = "cooling (throttled) for 12.0 s"
    steps = [
        {"what": "skipped", "endpoint": first, "why": why, "at_ms": 0.1},
        attempt(second, 0.2, 212.4, **failed, verdict="next endpoint"),
        attempt("openai", 213.1, call["first_byte_ms"]),
    ]
    total = call["total_ms"] + 213
    return {
        "endpoint": "openai",
        "steps": steps,
        "total_ms": total,
        "first_byte_ms": call["first_byte_ms"] + 213,
    }


def _failed(call, draw):
    failed = {"outcome": "failed", "reason": "server_error", "status": 500}
    first, second = FIRST.get(call["group"], "vllm-local"), SECOND.get(call["group"], "openai")
    steps = [
        attempt(first, 0.2, 140.0, **failed, verdict="next endpoint"),
        {
            "what": "skipped",
            "endpoint": second,
            "why": "breaker open for 12.0 s more",
            "at_ms": 141,
        },
        attempt(
            "openai",
            141.2,
            2_004.0,
            outcome="failed",
            reason="timed_out",
            status=None,
            verdict="give up",
        ),
    ]
    nothing = {"first_byte_ms": None, "input_tokens": None, "output_tokens": None, "cost_usd": None}
    return {
        "status": 503,
        "error": "no_endpoint_available",
        "endpoint": None,
        "total_ms": 2_145.6,
        "cached_tokens": None,
        "steps": steps,
        **nothing,
    }


def _cached(call, draw):
    took = draw.uniform(0.1, 0.3)
    nothing = {"endpoint": None, "steps": [], "cost_usd": 0.0, "cached_tokens": None}
    return {"cache": "hit", "first_byte_ms": took, "total_ms": took + 0.1, **nothing}


def _fallback(call, draw):
    moved = _moved(call, draw)
    step = {"what": "fallback", "endpoint": None, "why": "to group gpt-4.1-mini", "at_ms": 212.9}
    moved["steps"].insert(2, step)
    return {**moved, "fallback": "gpt-4.1-mini", "group": "gpt-4.1", "waited_ms": 180.0}


CHANGES = {
    "fine": lambda call, draw: {},
    "cached": _cached,
    "moved": _moved,
    "failed": _failed,
    "fallback": _fallback,
}
