"""The results of a simulation, as a text for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llmproxy.tools.simulate.results import EndpointCount, Results, busiest_minute

MINUTE_S = 60.0
JSON = msgspec.json.Encoder(order="deterministic")


class Waits(msgspec.Struct, frozen=True):
    """How many calls waited, and how long those did."""

    calls: int
    share: float
    median_s: float
    p99_s: float
    max_s: float


class Use(msgspec.Struct, frozen=True):
    """How much of a limit was used: on average while calls arrived, and in the busiest minute."""

    limit: int
    average: float
    busiest_minute: float


class EndpointReport(msgspec.Struct, frozen=True):
    """One endpoint's part. `cost_usd`: None where its price is not known."""

    group: str
    name: str
    tier: int
    served: int
    share: float
    upstream_429: int
    failed: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    requests: Use | None
    tokens: Use | None


class TierReport(msgspec.Struct, frozen=True):
    """All endpoints of one tier of a group."""

    group: str
    tier: int
    served: int
    share: float
    cost_usd: float | None


class Report(msgspec.Struct, frozen=True):
    """All of it. Shares are parts of the group's answered calls; `waits` and what clients saw are
    of all calls."""

    calls: int
    seconds: float
    served: int
    client_429: int
    client_5xx: int
    client_errors: dict[str, int]
    upstream_429: int
    waits: Waits
    cost_usd: float | None
    tiers: list[TierReport]
    endpoints: list[EndpointReport]
    instances: int
    redis_per_s: float
    leases_per_s: float
    notes: list[str]


def as_json(results: Results) -> str:
    """One JSON object; the same results give the same bytes."""
    return msgspec.json.format(JSON.encode(report_of(results)), indent=2).decode()


def as_text(results: Results) -> str:
    """A table with what matters most above it."""
    report = report_of(results)
    lines = [*_summary(report), "", *_endpoint_table(report), "", *_tier_table(report)]
    return "\n".join([*lines, *(f"Note: {note}" for note in report.notes)])


def report_of(results: Results) -> Report:
    """The figures that are told."""
    served_in: dict[str, int] = {}
    for each in results.endpoints:
        served_in[each.group] = served_in.get(each.group, 0) + each.served
    endpoints = [_endpoint(each, served_in[each.group], results) for each in results.endpoints]
    shared = results.shared
    seconds = max(results.seconds, 1e-9)
    return Report(
        calls=results.calls,
        seconds=round(results.seconds, 3),
        served=results.served,
        client_429=results.client_429,
        client_5xx=results.client_5xx,
        client_errors={
            str(key): results.client_errors[key] for key in sorted(results.client_errors)
        },
        upstream_429=results.upstream_429,
        waits=_waits(results),
        cost_usd=_sum_of([each.cost_usd for each in endpoints if each.served]),
        tiers=_tiers(endpoints),
        endpoints=endpoints,
        instances=shared.instances,
        redis_per_s=round(shared.round_trips / seconds, 1),
        leases_per_s=round(shared.asks / seconds, 1),
        notes=list(results.notes),
    )


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
        input_tokens=count.input_tokens,
        output_tokens=count.output_tokens,
        cost_usd=None if count.cost_usd is None else round(count.cost_usd, 4),
        requests=_use(account.rpm, account.requests, results.seconds),
        tokens=_use(account.tpm, account.tokens, results.seconds),
    )


def _use(limit: int | None, counts: list[int], seconds: float) -> Use | None:
    if limit is None:
        return None
    average = sum(counts) / (limit * max(seconds, MINUTE_S) / MINUTE_S)
    return Use(limit, round(average, 4), round(busiest_minute(counts) / limit, 4))


def _tiers(endpoints: Sequence[EndpointReport]) -> list[TierReport]:
    tiers: dict[tuple[str, int], list[EndpointReport]] = {}
    for each in endpoints:
        tiers.setdefault((each.group, each.tier), []).append(each)
    return [
        TierReport(
            group,
            tier,
            sum(each.served for each in members),
            round(sum(each.share for each in members), 6),
            _sum_of([each.cost_usd for each in members if each.served]),
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


def _sum_of(costs: list[float | None]) -> float | None:
    known = [cost for cost in costs if cost is not None]
    return round(sum(known), 4) if known and len(known) == len(costs) else None


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0


def _summary(report: Report) -> list[str]:
    waits = report.waits
    others = [
        f"{count:,} with {status}"
        for status, count in report.client_errors.items()
        if status != "429" and int(status) < 500
    ]
    lines = [
        f"{report.calls:,} calls in {report.seconds:,.0f} s, {report.served:,} served",
        f"clients saw    {report.client_429:,} times 429, {report.client_5xx:,} times 5xx"
        + "".join(f", {other}" for other in others),
        f"endpoints said {report.upstream_429:,} times 429",
        f"waited         {waits.share:.2%} of the calls"
        + (
            f", half of these up to {waits.median_s:.2f} s, 99 % up to {waits.p99_s:.2f} s, "
            f"the longest {waits.max_s:.2f} s"
            if waits.calls
            else ""
        ),
        f"cost           {_dollars(report.cost_usd)}",
    ]
    if used := [use for each in report.endpoints if (use := _nearest_limit(each))]:
        average = sum(use.average for use in used) / len(used)
        most = max(use.busiest_minute for use in used)
        lines.append(
            f"limits used    {average:.2%} on average, {most:.2%} in the busiest minute of one"
        )
    if report.instances > 1:
        lines.append(
            f"shared view    {report.instances:,} instances, {report.redis_per_s:,.0f} round trips "
            f"a second for {report.leases_per_s:,.0f} leases"
        )
    return lines


def _endpoint_table(report: Report) -> list[str]:
    rows = [
        [
            f"{each.group}/{each.name}",
            str(each.tier),
            f"{each.served:,}",
            f"{each.share:.2%}",
            f"{each.upstream_429:,}",
            f"{each.failed:,}",
            _used(each.requests),
            _used(each.tokens),
            _dollars(each.cost_usd),
        ]
        for each in report.endpoints
    ]
    head = ["endpoint", "tier", "served", "share", "429", "failed", "rpm used", "tpm used", "cost"]
    return [*_table(head, rows), "used: on average / in the busiest minute"]


def _tier_table(report: Report) -> list[str]:
    rows = [
        [
            each.group,
            str(each.tier),
            f"{each.served:,}",
            f"{each.share:.2%}",
            _dollars(each.cost_usd),
        ]
        for each in report.tiers
    ]
    return _table(["group", "tier", "served", "share", "cost"], rows)


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    """The first column to the left, all others to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (head, *rows)
    ]


def _nearest_limit(each: EndpointReport) -> Use | None:
    """The limit that came nearest to being reached."""
    known = [use for use in (each.requests, each.tokens) if use is not None]
    return max(known, key=lambda use: use.busiest_minute, default=None)


def _used(use: Use | None) -> str:
    return "-" if use is None else f"{use.average:.1%} / {use.busiest_minute:.1%}"


def _dollars(cost: float | None) -> str:
    return "not known" if cost is None else f"${cost:,.2f}"
