"""`/admin/spend`: what calls have cost, by team, key, model, ... and as CSV."""

from __future__ import annotations

from time import time
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response

from llmproxy.batteries.admin.auth import Member, own_team
from llmproxy.batteries.admin.people import Person
from llmproxy.batteries.spend import (
    DIMENSIONS,
    SpendQuery,
    SpendQueryError,
    SpendReport,
    csv_text,
    read_spend,
    spend_query,
)
from llmproxy.batteries.store import Database, Store, StoreUnavailable

MAX_CSV_ROWS = 100_000
NO_STORE = (
    "Spend is kept in a database, and this proxy has none (database_url: off). Remove that line, "
    "or name a database."
)
PARAMETERS = ("by", "since", "until", "step", "limit", "cursor", "top", *DIMENSIONS)

By = Annotated[str, Query(description=f"names with commas: {', '.join(DIMENSIONS)}")]
Since = Annotated[str, Query(description="30d, 12h, 4w, 2026-10, 2026-10-31 or Unix seconds; UTC")]
Until = Annotated[str | None, Query(description="end of the range, not included (default: now)")]
Step = Annotated[str | None, Query(description="of the series: day or hour")]
Limit = Annotated[int, Query(ge=1, le=10_000)]
Cursor = Annotated[int, Query(ge=0, description="`next` of the page before")]
Top = Annotated[
    int | None,
    Query(ge=1, le=100, description="values of the first dimension; the rest is `(other)`"),
]
Only = Annotated[str | None, Query(description="only calls with this one; `(none)`: without any")]


def spend_routes(store: Store) -> APIRouter:
    """Return `/admin/spend` and `/admin/spend.csv`."""
    router = APIRouter(prefix="/spend")
    shared = {"responses": {400: {"description": "unknown dimension or time"}}}

    @router.get("", **shared)  # type: ignore[arg-type]
    async def spend(  # noqa: PLR0913 - each is a parameter of the API
        request: Request,
        person: Member,
        *,
        by: By = "",
        since: Since = "30d",
        until: Until = None,
        step: Step = None,
        limit: Limit = 1000,
        cursor: Cursor = 0,
        top: Top = None,
    ) -> dict[str, Any]:
        """Return what calls have cost: rows, their total, the period before, and a series.

        The names of the dimensions are parameters, too, and restrict it: `team=search`."""
        query = _query(request, person, by, since, until, step=step, top=top)
        report = await _read(store, query, limit=limit, offset=cursor)
        return {**report.view(), "next": cursor + limit if report.more else None}

    @router.get(".csv", response_class=Response, **shared)  # type: ignore[arg-type]
    async def spend_csv(
        request: Request, person: Member, by: By = "team", since: Since = "30d", until: Until = None
    ) -> Response:
        """Return all rows as CSV."""
        query = _query(request, person, by, since, until, step=None)
        report = await _read(store, query, limit=MAX_CSV_ROWS)
        if report.more:
            raise HTTPException(
                400, f"These are more than {MAX_CSV_ROWS:,} rows. Ask for a shorter time."
            )
        name = f'attachment; filename="spend-by-{"-".join(query.by)}.csv"'
        return Response(
            csv_text(report), media_type="text/csv", headers={"content-disposition": name}
        )

    return router


def _query(
    request: Request,
    person: Person,
    by: str,
    since: str,
    until: str | None,
    *,
    step: str | None,
    top: int | None = None,
) -> SpendQuery:
    given = request.query_params
    try:
        for name in given:
            # A misspelt one would not restrict, and the sum would be another one's.
            if name not in PARAMETERS:
                known = ", ".join(PARAMETERS)
                raise SpendQueryError(f"Unknown parameter {name!r}. There are: {known}.")
        where = {name: given[name] for name in DIMENSIONS if name in given}
        if (team := own_team(person, where.get("team"))) is not None:
            where["team"] = team
        return spend_query(
            by, now=time(), since=since, until=until, step=step, where=where, top=top
        )
    except SpendQueryError as error:
        raise HTTPException(400, str(error)) from error


async def _read(store: Store, query: SpendQuery, *, limit: int, offset: int = 0) -> SpendReport:
    database: Database | None = store.database
    if database is None:
        raise HTTPException(404, NO_STORE)
    await store.flush()
    try:
        return await read_spend(database, query, limit=limit, offset=offset)
    except StoreUnavailable as error:
        raise HTTPException(503, f"The sums cannot be read: {error}") from error
