"""Figures of a made-up proxy, as the admin API sends them: JSON, as plain dicts."""

NOW = 1_764_000_000.0


def recent(calls=60, errors=0, **changes):
    usual = {
        "calls": calls,
        "errors": errors,
        "error_rate": errors / calls if calls else 0.0,
        "calls_per_s": calls / 60,
        "input_tokens": 1_100 * calls,
        "output_tokens": 240 * calls,
        "cost_usd": 0.002 * calls,
        "first_byte_p50_ms": 394.0 if calls else None,
        "first_byte_p99_ms": 1_640.0 if calls else None,
    }
    return usual | changes


def level(left, limit):
    return {"limit": limit, "left": left, "configured": limit}


def endpoint(name, state="ok", **changes):
    usual = {
        "endpoint": name,
        "state": state,
        "why": None,
        "ready_in_s": 0.0,
        "since": NOW - 500,
        "tier": 0,
        "weight": 2,
        "breaker": "closed",
        "drained": state == "drained",
        "in_flight": 3,
        "capacity": {
            "requests": level(372.4, 600),
            "tokens": level(20_000.0, 200_000),
            "concurrent": None,
        },
        "recent": recent(),
    }
    return usual | changes


def group(name, *endpoints, **changes):
    usual = {
        "group": name,
        "status": "ok" if all(item["state"] == "ok" for item in endpoints) else "degraded",
        "waiting": 0,
        "in_flight": sum(item["in_flight"] for item in endpoints),
        "recent": recent(120),
        "endpoints": list(endpoints),
    }
    return usual | changes


def well():
    """Two groups, all well."""
    return [
        group("gpt-4.1", endpoint("azure-east"), endpoint("openai", tier=1, weight=1)),
        group("gpt-4.1-mini", endpoint("azure-north")),
    ]


def ill():
    """Three groups with one endpoint in each state."""
    no_limit = {"requests": None, "tokens": None, "concurrent": None}
    at_once = no_limit | {"concurrent": level(11, 64)}
    cooling = "throttled, cooling down for 42.0 s more"
    refused = "credential_rejected, cooling down for 281.0 s more"
    idle = {"in_flight": 0, "recent": recent(0)}
    opened = {"breaker": "open", "why": "breaker open for 12.0 s more", "ready_in_s": 12.0}
    full = {
        "requests": level(0.2, 1_500),
        "tokens": level(610_000, 900_000),
        "concurrent": None,
    }
    return [
        group(
            "gpt-4.1",
            endpoint("azure-east", "cooling", why=cooling, ready_in_s=42.0, **idle),
            endpoint("azure-west", "open", weight=1, **(idle | opened | {"recent": recent(9, 9)})),
            endpoint("openai", tier=1, weight=1, recent=recent(402, 1)),
        ),
        group(
            "gpt-4.1-mini",
            endpoint(
                "azure-west", "full", capacity=full, why="full for 3.2 s more", ready_in_s=3.2
            ),
            endpoint("azure-north", "misconfigured", why=refused, ready_in_s=281.0, **idle),
            endpoint(
                "openai", "half-open", tier=1, weight=0, breaker="half-open", capacity=no_limit
            ),
            waiting=3,
        ),
        group(
            "text-embedding-3-small",
            endpoint("vllm-local", capacity=at_once, in_flight=53),
            endpoint("openai", "drained", tier=1, why="drained", **idle),
        ),
    ]


def state(groups=None, status="ok", **changes):
    groups = well() if groups is None else groups
    usual = {
        "version": "0.1.0",
        "status": status,
        "now": NOW,
        "started_at": NOW - 200_000,
        "workers": 4,
        "config": {
            "source": "llmproxy.yaml",
            "loaded_at": NOW - 4_000,
            "reloads": 3,
            "failed_reloads": 0,
            "error": None,
            "error_at": None,
        },
        "shared": None,
        "in_flight": sum(item["in_flight"] for item in groups),
        "recent": recent(1_104, 4),
        "totals": {
            "calls": 812_345,
            "errors": 1_204,
            "input_tokens": 910_000_000,
            "output_tokens": 120_000_000,
            "cached_tokens": 220_000_000,
            "cost_usd": 1_873.4,
            "cache_hits": 61_220,
            "cache_misses": 204_118,
            "saved_tokens": 74_000_000,
            "saved_usd": 148.2,
            "retries": 4_120,
            "failovers": 3_377,
            "streams_interrupted": 41,
        },
        "groups": groups,
        "cache": {"entries": 18_204, "bytes": 61_400_000, "store": None},
    }
    return usual | changes


def point(number, calls=80, errors=0):
    """The point of a number; that of 179 ends now."""
    return {"at": NOW - 900 + 5 * number, "calls": calls, "errors": errors}


def history():
    points = [point(n, 40 + (n * 7) % 60, 3 if n in (90, 150, 151) else 0) for n in range(180)]
    return {"step_s": 5, "points": points}


def attempt(name, outcome="answered"):
    return {"what": "attempt", "endpoint": name, "at_ms": 0.2, "ms": 120.0, "outcome": outcome}


def call(number, **changes):
    """The call of a number: the higher, the later."""
    usual = {
        "id": f"req_{number:024x}",
        "at": NOW - 60 + number,
        "request": "POST /v1/chat/completions",
        "stream": True,
        "group": "gpt-4.1",
        "fallback": None,
        "caller": "checkout",
        "client": "10.0.3.17",
        "endpoint": "azure-east",
        "status": 200,
        "error": None,
        "cache": "miss",
        "first_byte_ms": 412.3,
        "total_ms": 2_310.0,
        "overhead_ms": 0.08,
        "waited_ms": 412.2,
        "input_tokens": 1_204,
        "output_tokens": 311,
        "cached_tokens": 0,
        "cost_usd": 0.0049,
        "steps": [attempt("azure-east")],
    }
    return usual | changes


def calls():
    """Some of each kind, newest first."""
    nothing = {"first_byte_ms": None, "input_tokens": None, "output_tokens": None}
    moved = [attempt("azure-east", "failed"), attempt("openai")]
    return [
        call(9),
        call(8, steps=moved, endpoint="openai"),
        call(7, status=503, error="no_endpoint_available", endpoint=None, cost_usd=None, **nothing),
        call(6, cache="hit", endpoint=None, first_byte_ms=0.2, total_ms=0.3, steps=[]),
        call(5, steps=moved, fallback="gpt-4.1-mini", endpoint="openai"),
        call(4, request="POST /v1/embeddings", group="text-embedding-3-small"),
        *(call(n, group="gpt-4.1-mini", endpoint="azure-west") for n in (3, 2, 1)),
    ]
