"""Reports the results of a simulation, as text or as JSON."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llmproxy.tools.simulate.results import EndpointCount, Results, busiest_minute

MINUTE_S = 60.0
JSON = msgspec.json.Encoder(order="deterministic")


class Waits(msgspec.Struct, frozen=True):
    """How many calls waited, and for how long."""

    calls: int
    share: float
    median_s: float
    p99_s: float
    max_s: float


class Latencies(msgspec.Struct, frozen=True):
    """How long answered calls took, from their arrival."""

    median_s: float
    p95_s: float
    p99_s: float
    p999_s: float
    max_s: float


class HedgeReport(msgspec.Struct, frozen=True):
    """Second attempts beside silent ones. `share`: of the calls. `won`: those that answered."""

    begun: int
    share: float
    won: int


class PromptCacheReport(msgspec.Struct, frozen=True):
    """The part of the input tokens that prompt caches held, and the same without affinity."""

    cached_share: float
    without_affinity: float


class Use(msgspec.Struct, frozen=True):
    """How much of a limit was used, as shares: average over the run, and the busiest minute."""

    limit: int
    average: float
    busiest_minute: float


class EndpointReport(msgspec.Struct, frozen=True):
    """The results of one endpoint. `share` is its part of the group's answered calls; `cost_usd`
    is None if its price is unknown. `changes`: what it may change of a call's parameters."""

    group: str
    name: str
    tier: int
    served: int
    share: float
    upstream_429: int
    failed: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost_usd: float | None
    requests: Use | None
    tokens: Use | None
    changes: str | None


class TierReport(msgspec.Struct, frozen=True):
    """The results of one tier of a group."""

    group: str
    tier: int
    served: int
    share: float
    cost_usd: float | None


class Report(msgspec.Struct, frozen=True):
    """The whole report. `upstream_429` counts attempts; the other counts and `waits` count calls.
    `client_errors`: the number of calls by status."""

    calls: int
    seconds: float
    served: int
    client_429: int
    client_5xx: int
    client_errors: dict[str, int]
    upstream_429: int
    waits: Waits
    latency: Latencies
    hedges: HedgeReport
    cost_usd: float | None
    prompt_caches: PromptCacheReport | None
    tiers: list[TierReport]
    endpoints: list[EndpointReport]
    instances: int
    redis_per_s: float
    leases_per_s: float
    notes: list[str]


def as_json(results: Results) -> str:
    """Return the report as one JSON object. The same results give the same bytes."""
    return msgspec.json.format(JSON.encode(report_of(results)), indent=2).decode()


def as_text(results: Results) -> str:
    """Return the report as a summary and two tables."""
    report = report_of(results)
    lines = [*_summary(report), "", *_endpoint_table(report), "", *_tier_table(report)]
    return "\n".join([*lines, *(f"Note: {note}" for note in report.notes)])


def report_of(results: Results) -> Report:
    """Compute the report."""
    served_in: dict[str, int] = {}
    for count in results.endpoints:
        served_in[count.group] = served_in.get(count.group, 0) + count.served
    endpoints = [_endpoint(count, served_in[count.group], results) for count in results.endpoints]
    shared, hedges = results.shared, results.hedges
    seconds = max(results.seconds, 1e-9)
    return Report(
        calls=results.calls,
        seconds=round(results.seconds, 3),
        served=results.served,
        client_429=results.client_429,
        client_5xx=results.client_5xx,
        client_errors={
            str(status): results.client_errors[status] for status in sorted(results.client_errors)
        },
        upstream_429=results.upstream_429,
        waits=_waits(results),
        latency=_latencies(results),
        hedges=HedgeReport(hedges.begun, _share(hedges.begun, results.calls), hedges.won),
        cost_usd=_sum_of([endpoint.cost_usd for endpoint in endpoints if endpoint.served]),
        prompt_caches=_prompt_caches(results),
        tiers=_tiers(endpoints),
        endpoints=endpoints,
        instances=shared.instances,
        redis_per_s=round(shared.round_trips / seconds, 1),
        leases_per_s=round(shared.asks / seconds, 1),
        notes=list(results.notes),
    )


def _prompt_caches(results: Results) -> PromptCacheReport | None:
    without = results.cached_without_affinity
    if without is None:
        return None
    return PromptCacheReport(round(results.cached_share, 4), round(without, 4))


def _endpoint(count: EndpointCount, served_in_group: int, results: Results) -> EndpointReport:
    account = count.account
    return EndpointReport(
        group=count.group,
        name=count.name,
        tier=count.tier,
        served=count.served,
        share=_share(count.served, served_in_group),
        upstream_429=count.refused,
        failed=count.failed,
        input_tokens=count.tokens.input,
        output_tokens=count.tokens.output,
        cached_tokens=count.tokens.cached,
        cost_usd=None if count.cost_usd is None else round(count.cost_usd, 4),
        requests=_use(account.rpm, account.requests, results.seconds),
        tokens=_use(account.tpm, account.tokens, results.seconds),
        changes=count.changes,
    )


def _use(limit: int | None, counts: list[int], seconds: float) -> Use | None:
    if limit is None:
        return None
    average = sum(counts) / (limit * max(seconds, MINUTE_S) / MINUTE_S)
    return Use(limit, round(average, 4), round(busiest_minute(counts) / limit, 4))


def _tiers(endpoints: Sequence[EndpointReport]) -> list[TierReport]:
    tiers: dict[tuple[str, int], list[EndpointReport]] = {}
    for endpoint in endpoints:
        tiers.setdefault((endpoint.group, endpoint.tier), []).append(endpoint)
    return [
        TierReport(
            group,
            tier,
            sum(endpoint.served for endpoint in members),
            round(sum(endpoint.share for endpoint in members), 6),
            _sum_of([endpoint.cost_usd for endpoint in members if endpoint.served]),
        )
        for (group, tier), members in tiers.items()
    ]


def _waits(results: Results) -> Waits:
    waits = sorted(results.waits_s)
    if not waits:
        return Waits(0, 0.0, 0.0, 0.0, 0.0)
    return Waits(
        len(waits),
        _share(len(waits), results.calls),
        round(waits[len(waits) // 2], 3),
        round(waits[int(len(waits) * 0.99)], 3),
        round(waits[-1], 3),
    )


def _latencies(results: Results) -> Latencies:
    took = sorted(results.took_s) or [0.0]
    shares = (0.5, 0.95, 0.99, 0.999)
    median_s, p95_s, p99_s, p999_s = (round(took[int(len(took) * share)], 3) for share in shares)
    return Latencies(median_s, p95_s, p99_s, p999_s, round(took[-1], 3))


def _sum_of(costs: list[float | None]) -> float | None:
    known = [cost for cost in costs if cost is not None]
    return round(sum(known), 4) if known and len(known) == len(costs) else None


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0


def _summary(report: Report) -> list[str]:
    waits, latency = report.waits, report.latency
    others = [
        f"{count:,} with {status}"
        for status, count in report.client_errors.items()
        if status != "429" and int(status) < 500
    ]
    lines = [
        f"{report.calls:,} calls in {report.seconds:,.0f} s, {report.served:,} served",
        f"clients got    {report.client_429:,} errors with 429, {report.client_5xx:,} with 5xx"
        + "".join(f", {other}" for other in others),
        f"endpoints sent {report.upstream_429:,} errors with 429",
        f"waited         {waits.share:.2%} of the calls"
        + (
            f": median {waits.median_s:.2f} s, 99th percentile {waits.p99_s:.2f} s, "
            f"longest {waits.max_s:.2f} s"
            if waits.calls
            else ""
        ),
        f"answered in    median {latency.median_s:.2f} s, 95th percentile {latency.p95_s:.2f} s, "
        f"99th {latency.p99_s:.2f} s, "
        f"99.9th {latency.p999_s:.2f} s, longest {latency.max_s:.2f} s",
        f"hedged         {report.hedges.begun:,} calls, {report.hedges.share:.2%}; "
        f"{report.hedges.won:,} won",
        f"cost           {_dollars(report.cost_usd)}",
    ]
    if (cached := report.prompt_caches) is not None:
        lines.append(
            f"prompt caches  {cached.cached_share:.1%} of the input tokens; "
            f"{cached.without_affinity:.1%} without affinity"
        )
    if used := [use for endpoint in report.endpoints if (use := _nearest_limit(endpoint))]:
        average = sum(use.average for use in used) / len(used)
        most = max(use.busiest_minute for use in used)
        lines.append(
            f"limits used    {average:.2%} on average, {most:.2%} in one endpoint's busiest minute"
        )
    if report.instances > 1:
        lines.append(
            f"shared view    {report.instances:,} instances; per second {report.redis_per_s:,.0f} "
            f"round trips to Redis for {report.leases_per_s:,.0f} lease requests"
        )
    return lines


def _endpoint_table(report: Report) -> list[str]:
    rows = [
        [
            f"{endpoint.group}/{endpoint.name}",
            str(endpoint.tier),
            f"{endpoint.served:,}",
            f"{endpoint.share:.2%}",
            f"{endpoint.upstream_429:,}",
            f"{endpoint.failed:,}",
            _used(endpoint.requests),
            _used(endpoint.tokens),
            _dollars(endpoint.cost_usd),
        ]
        for endpoint in report.endpoints
    ]
    head = ["endpoint", "tier", "served", "share", "429", "failed", "rpm used", "tpm used", "cost"]
    changes = [
        f"changed for {endpoint.group}/{endpoint.name}: {endpoint.changes}"
        for endpoint in report.endpoints
        if endpoint.changes is not None
    ]
    return [*_table(head, rows), "used: average / busiest minute", *changes]


def _tier_table(report: Report) -> list[str]:
    rows = [
        [
            tier.group,
            str(tier.tier),
            f"{tier.served:,}",
            f"{tier.share:.2%}",
            _dollars(tier.cost_usd),
        ]
        for tier in report.tiers
    ]
    return _table(["group", "tier", "served", "share", "cost"], rows)


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Align the first column left and the others right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (head, *rows)
    ]


def _nearest_limit(endpoint: EndpointReport) -> Use | None:
    """Return the use of the limit that came closest to being reached."""
    known = [use for use in (endpoint.requests, endpoint.tokens) if use is not None]
    return max(known, key=lambda use: use.busiest_minute, default=None)


def _used(use: Use | None) -> str:
    return "-" if use is None else f"{use.average:.1%} / {use.busiest_minute:.1%}"


def _dollars(cost: float | None) -> str:
    return "unknown" if cost is None else f"${cost:,.2f}"
