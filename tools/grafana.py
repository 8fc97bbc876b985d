"""The Grafana dashboard ops/grafana.json; `make docs` generates it from the table below."""

import json
from typing import Any

OURS = 'source=~"upstream|proxy"'
GROUP = 'group=~"$group"'
UNKNOWN = f'{GROUP},basis="unknown"'
RATE = "[$__rate_interval]"
WIDTH = 24


def rate(name: str, by: str, where: str = GROUP) -> str:
    return f"sum by ({by}) (rate({name}{{{where}}}{RATE}))"


def quantile(q: float, name: str, by: str = "group") -> str:
    return f"histogram_quantile({q}, {rate(f'{name}_bucket', f'le, {by}')})"


# title -> panels; a panel: title, kind, unit, width, then expressions with their legends
ROWS: dict[str, list[tuple[str, str, str, int, list[tuple[str, str]]]]] = {
    "Overview": [
        ("Calls", "stat", "reqps", 4, [(f"sum(rate(llmproxy_calls_total{{{GROUP}}}{RATE}))", "")]),
        (
            "Failed calls",
            "stat",
            "percentunit",
            4,
            [
                (
                    f"sum(rate(llmproxy_call_errors_total{{{GROUP},{OURS}}}{RATE}))"
                    f" / sum(rate(llmproxy_calls_total{{{GROUP}}}{RATE}))",
                    "",
                )
            ],
        ),
        (
            "Unavailable endpoints",
            "stat",
            "none",
            4,
            [(f"count(llmproxy_endpoint_available{{{GROUP}}} == 0) or vector(0)", "")],
        ),
        ("In flight", "stat", "none", 4, [("sum(llmproxy_calls_in_flight)", "")]),
        (
            "Spend per hour",
            "stat",
            "currencyUSD",
            4,
            [(f"3600 * sum(rate(llmproxy_cost_usd_total{{{GROUP}}}{RATE}))", "")],
        ),
        (
            "Answered from the cache",
            "stat",
            "percentunit",
            4,
            [
                (
                    f'sum(rate(llmproxy_cache_calls_total{{result!="miss"}}{RATE}))'
                    f" / sum(rate(llmproxy_cache_calls_total{RATE}))",
                    "",
                )
            ],
        ),
    ],
    "Endpoints": [
        (
            "State",
            "state-timeline",
            "none",
            24,
            [(f"llmproxy_endpoint_state{{{GROUP}}} == 1", "{{group}} {{endpoint}}: {{state}}")],
        ),
        (
            "Attempts",
            "timeseries",
            "reqps",
            8,
            [(rate("llmproxy_attempts_total", "endpoint, outcome"), "{{endpoint}} {{outcome}}")],
        ),
        (
            "Failures by reason",
            "timeseries",
            "reqps",
            8,
            [
                (
                    rate("llmproxy_attempt_failures_total", "endpoint, reason"),
                    "{{endpoint}} {{reason}}",
                )
            ],
        ),
        (
            "Retries and failovers",
            "timeseries",
            "reqps",
            8,
            [
                (
                    rate("llmproxy_retries_total", "endpoint, reason"),
                    "again {{endpoint}} {{reason}}",
                ),
                (
                    rate("llmproxy_failovers_total", "endpoint, reason"),
                    "from {{endpoint}} {{reason}}",
                ),
            ],
        ),
        (
            "Capacity left",
            "timeseries",
            "percentunit",
            8,
            [
                (
                    f"llmproxy_endpoint_limit_remaining{{{GROUP}}}"
                    f" / llmproxy_endpoint_limit{{{GROUP}}}",
                    "{{endpoint}} {{kind}}",
                )
            ],
        ),
        (
            "First byte, p99",
            "timeseries",
            "s",
            8,
            [
                (
                    quantile(0.99, "llmproxy_attempt_first_byte_seconds", "endpoint"),
                    "{{endpoint}}",
                )
            ],
        ),
        (
            "In flight",
            "timeseries",
            "none",
            8,
            [
                (
                    f"sum by (endpoint) (llmproxy_endpoint_in_flight{{{GROUP}}})",
                    "{{endpoint}}",
                )
            ],
        ),
    ],
    "Calls": [
        (
            "By status",
            "timeseries",
            "reqps",
            8,
            [(rate("llmproxy_calls_total", "group, status"), "{{group}} {{status}}")],
        ),
        (
            "Time to the first byte",
            "timeseries",
            "s",
            8,
            [
                (quantile(0.5, "llmproxy_call_first_byte_seconds"), "{{group}} p50"),
                (quantile(0.99, "llmproxy_call_first_byte_seconds"), "{{group}} p99"),
            ],
        ),
        (
            "Proxy overhead",
            "timeseries",
            "s",
            8,
            [
                (quantile(0.5, "llmproxy_call_overhead_seconds"), "{{group}} p50"),
                (quantile(0.99, "llmproxy_call_overhead_seconds"), "{{group}} p99"),
            ],
        ),
        (
            "Waiting for capacity",
            "timeseries",
            "none",
            8,
            [(f"llmproxy_calls_waiting{{{GROUP}}}", "{{group}}")],
        ),
        (
            "Interrupted streams and fallbacks",
            "timeseries",
            "reqps",
            8,
            [
                (
                    rate("llmproxy_streams_interrupted_total", "endpoint"),
                    "interrupted {{endpoint}}",
                ),
                (rate("llmproxy_call_fallbacks_total", "group"), "fallback {{group}}"),
            ],
        ),
        (
            "Callers",
            "timeseries",
            "reqps",
            8,
            [(f"sum by (caller) (rate(llmproxy_caller_calls_total{RATE}))", "{{caller}}")],
        ),
    ],
    "Tokens and spend": [
        (
            "Tokens per minute",
            "timeseries",
            "short",
            8,
            [(f"60 * {rate('llmproxy_tokens_total', 'endpoint, kind')}", "{{endpoint}} {{kind}}")],
        ),
        (
            "Dollars per hour",
            "timeseries",
            "currencyUSD",
            8,
            [
                (f"3600 * {rate('llmproxy_cost_usd_total', 'endpoint')}", "{{endpoint}}"),
                (f"3600 * sum(rate(llmproxy_cache_saved_usd_total{RATE}))", "saved by the cache"),
            ],
        ),
        (
            "The cache",
            "timeseries",
            "reqps",
            8,
            [(f"sum by (result) (rate(llmproxy_cache_calls_total{RATE}))", "{{result}}")],
        ),
    ],
    "Whose money": [
        (
            "Dollars per hour by team",
            "timeseries",
            "currencyUSD",
            8,
            [(f"topk(10, 3600 * {rate('llmproxy_spend_usd_total', 'team')})", "{{team}}")],
        ),
        (
            "Dollars per hour by caller",
            "timeseries",
            "currencyUSD",
            8,
            [
                (
                    f"topk(10, 3600 * {rate('llmproxy_spend_usd_total', 'team, caller')})",
                    "{{team}} {{caller}}",
                )
            ],
        ),
        (
            "Dollars per hour by group",
            "timeseries",
            "currencyUSD",
            8,
            [(f"3600 * {rate('llmproxy_spend_usd_total', 'group')}", "{{group}}")],
        ),
        (
            "Tokens per minute by team",
            "timeseries",
            "short",
            8,
            [
                (
                    f"topk(10, 60 * {rate('llmproxy_spend_tokens_total', 'team, kind')})",
                    "{{team}} {{kind}}",
                )
            ],
        ),
        (
            "Dollars by how far they are known",
            "timeseries",
            "currencyUSD",
            8,
            [(f"3600 * {rate('llmproxy_spend_usd_total', 'basis')}", "{{basis}}")],
        ),
        (
            "Calls whose cost is unknown",
            "timeseries",
            "percentunit",
            8,
            [
                (
                    f"{rate('llmproxy_spend_calls_total', 'group', UNKNOWN)}"
                    f" / {rate('llmproxy_spend_calls_total', 'group')}",
                    "{{group}}",
                )
            ],
        ),
    ],
    "The proxy": [
        (
            "Config refused, shared state or cache store lost",
            "timeseries",
            "none",
            12,
            [
                ("max(llmproxy_config_refused)", "config refused"),
                ("1 - min(llmproxy_shared_up)", "shared view lost"),
                ("1 - min(llmproxy_cache_store_up)", "cache's store lost"),
            ],
        ),
        (
            "Workers and instances",
            "timeseries",
            "none",
            12,
            [("llmproxy_workers", "workers"), ("llmproxy_shared_instances", "instances")],
        ),
    ],
}


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        panels.append({"type": "row", "title": title, "gridPos": at(0, y, WIDTH, 1)})
        x, y = 0, y + 1
        for name, kind, unit, width, targets in row:
            height = 4 if kind == "stat" else 8
            if x + width > WIDTH:
                x, y = 0, y + height
            place = at(x, y, width, height)
            panels.append({"title": name, "type": kind, "gridPos": place} | queries(unit, targets))
            x += width
        y += height
    return {
        "title": "LLMProxy",
        "uid": "llmproxy",
        "schemaVersion": 39,
        "tags": ["llm"],
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": VARIABLES},
        "panels": [{"id": number, **panel} for number, panel in enumerate(panels, 1)],
    }


SOURCE = {"type": "prometheus", "uid": "${datasource}"}
VARIABLES = [
    {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
    {
        "name": "group",
        "type": "query",
        "label": "Model group",
        "datasource": SOURCE,
        "query": "label_values(llmproxy_endpoint_available, group)",
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
        "refresh": 2,
    },
]


def at(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def queries(unit: str, targets: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": letter, "datasource": SOURCE, "expr": expr, "legendFormat": legend}
            for letter, (expr, legend) in zip("ABCDEFG", targets, strict=False)
        ],
    }


def text() -> str:
    """The file."""
    return json.dumps(dashboard(), indent=2) + "\n"
