"""Made-up spend behind `/admin/spend`: all sums are of the same cells, one an hour or day, team
and model."""

from collections import defaultdict
from datetime import UTC, datetime
from time import time
from zlib import crc32

from fastapi import HTTPException, Request, Response

from tests.browser.fake_keys import budget

DAY_S = 86_400
SUMS = ("calls", "errors", "input_tokens", "output_tokens", "cached_tokens", "unknown_calls")
MONEY = ("cost_usd", "exact_usd", "estimated_usd", "saved_usd")
TEAMS = ("search", "support", "research", "billing", None)
PRICES = {"gpt-4.1": 0.011, "gpt-4.1-mini": 0.0024, "claude-sonnet-4": 0.016, "o4-mini": 0.006}


class Spend:
    """What was spent in a fake proxy. A test may set the names, and what is known of the cost."""

    def __init__(self):
        self.teams = TEAMS
        self.endpoints = ("azure-east", "azure-west", "openai")
        self.calls = self.prices = True
        self.off = self.down = False
        self.budgets = [
            budget_of("search", "200", used="143.27"),
            budget_of("research", "500", used="488.1"),
            budget_of("billing", "20", used="20"),
        ]

    def cells(self, since, until, step):
        """Yield the cells of a time: what they are of, and their sums."""
        for at in range(int(since // step) * step, int(until), step) if self.calls else ():
            weekend = 0.35 if datetime.fromtimestamp(at, UTC).weekday() > 4 else 1
            for number, team in enumerate(self.teams):
                for model, price in PRICES.items():
                    share = weekend * step / DAY_S / (1 + number) ** 0.7
                    yield self._cell(
                        at,
                        team,
                        model,
                        int(900 * share * (0.6 + 0.8 * drawn(at, team, model))),
                        price,
                    )

    def _cell(self, at, team, model, calls, price):
        endpoint = self.endpoints[(at // DAY_S + len(model)) % len(self.endpoints)]
        unknown = calls if not self.prices else calls // 8 if model == "o4-mini" else 0
        cost = (calls - unknown) * price
        keys = {
            **{"team": team, "key": f"key_{team}", "caller": f"{team or 'any'}-prod"},
            **{"model": model, "group": model, "endpoint": endpoint, "tag": "nightly"},
            **{"day": datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d"), "end_user": None},
            "hour": datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%HZ"),
        }
        estimated = cost * 0.2 if team == "support" else 0
        sums = {
            **{"calls": calls, "errors": calls // 60, "input_tokens": calls * 1_400},
            **{"output_tokens": calls * 230, "cached_tokens": calls * 300},
            **{"cost_usd": cost, "exact_usd": cost - estimated, "estimated_usd": estimated},
            **{"unknown_calls": unknown, "saved_usd": cost * 0.08},
        }
        return keys, sums


def drawn(*names):
    """A number from 0 to 1, always the same for the same names."""
    return crc32(repr(names).encode()) / 2**32


def budget_of(team, amount, *, used):
    return {**budget(amount, used=used), "for": {"team": team}}


def finished(sums):
    """Give sums their coverage, and their money as texts."""
    known = sums["calls"] - sums["unknown_calls"]
    texts = {name: f"{sums[name]:.9f}" for name in MONEY}
    if sums["calls"] and not known:
        texts |= dict.fromkeys(("cost_usd", "exact_usd", "estimated_usd"))
    return {**sums, **texts, "coverage": known / sums["calls"] if sums["calls"] else None}


def added(cells):
    return {name: sum(sums[name] for _, sums in cells) for name in (*SUMS, *MONEY)}


def seconds(text, now):
    if text[-1:] in "hd" and text[:-1].isdigit():
        return now - int(text[:-1]) * (3_600 if text[-1] == "h" else DAY_S)
    return datetime.fromisoformat(text).timestamp()


def answered(spend, where, names, times, page):
    """The answer of `/admin/spend`. `times`: since, until and step as they were asked for."""
    (since, until, step), now = times, time()
    from_, to = seconds(since, now), seconds(until, now) if until else now

    def cells_of(start, end):
        return [
            (keys, sums)
            for keys, sums in spend.cells(start, end, 3_600 if step == "hour" else DAY_S)
            if all(
                (keys[name] or "(none)") == value for name, value in where.items() if name in keys
            )
        ]

    cells, grouped = cells_of(from_, to), defaultdict(list)
    for keys, sums in cells:
        grouped[tuple(keys[name] for name in names)].append((keys, sums))
    rows = [
        {"keys": dict(zip(names, values, strict=True)), **finished(added(of_row))}
        for values, of_row in grouped.items()
    ]
    rows.sort(key=lambda row: -float(row["cost_usd"] or 0))
    return {
        **{"from": from_, "to": to, "by": names, "rows": rows[page], "series": []},
        **{
            "total": finished(added(cells)),
            "before": finished(added(cells_of(2 * from_ - to, from_))),
        },
        "next": page.stop if page.stop < len(rows) else None,
    }


def add_spend(app):
    """Add the routes of spend and budgets."""

    @app.get("/admin/spend")
    async def spent(
        request: Request,
        by: str = "team",
        since: str = "30d",
        until: str = "",
        step: str = "day",
        limit: int = 100,
        cursor: int = 0,
    ):
        spend, page = app.state.world.spend, slice(cursor, cursor + limit)
        if spend.off:
            raise HTTPException(404, "Not Found")
        if spend.down:
            raise HTTPException(503, "The database is not connected: it refuses connections.")
        return answered(spend, request.query_params, by.split(","), (since, until, step), page)

    @app.get("/admin/spend.csv")
    async def csv(by: str = "team"):
        return Response(f"{by},cost_usd\nsearch,12.5\n", media_type="text/csv")

    @app.get("/admin/budgets")
    async def budgets():
        return {"budgets": app.state.world.spend.budgets, "next": None}
