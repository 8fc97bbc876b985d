"""`/admin/audit`: who changed what, from where, and how it was before and after."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Response

from llmproxy.batteries.admin.auth import Member, own_team, require
from llmproxy.batteries.admin.people import AdminRole
from llmproxy.batteries.spend import cell
from llmproxy.batteries.store import Store, StoreUnavailable

NO_STORE = (
    "The audit is kept in a database, and this proxy has none (database_url: off); its rows are "
    "in the log. Remove that line, or name a database."
)
MAX_CSV_ROWS = 100_000
COLUMNS = (*("id", "at", "who", "role", "address", "action", "subject", "team", "before", "after"),)


class Wanted:
    """Which rows are wanted, as the query says. `since` and `until` are Unix seconds."""

    def __init__(
        self,
        person: Member,
        *,
        who: str | None = None,
        action: Annotated[
            str | None, Query(description="`key.create`, or `key` for all that begin so")
        ] = None,
        subject: str | None = None,
        team: str | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> None:
        team = own_team(person, team)
        self.equal = {"who": who, "subject": subject, "team": team}
        self.action = action
        self.since, self.until = since, until


async def rows_of(
    store: Store | None, wanted: Wanted, limit: int, before: int | None = None
) -> Sequence[Any]:
    """Return rows of the audit, the newest first. Raises a 404 without a store, or a 503."""
    if store is None or (database := store.database) is None:
        raise HTTPException(404, NO_STORE)
    await database.load()  # by a thread, and this import takes no time
    from sqlalchemy import or_, select  # noqa: PLC0415

    from llmproxy.batteries.store.tables import audit as table  # noqa: PLC0415

    query = select(*(table.c[name] for name in COLUMNS)).order_by(table.c.id.desc()).limit(limit)
    for name, value in wanted.equal.items():
        if value is not None:
            query = query.where(table.c[name] == value)
    if (action := wanted.action) is not None:
        begins = table.c.action.startswith(f"{action}.", autoescape=True)
        query = query.where(or_(table.c.action == action, begins))
    if wanted.since is not None:
        query = query.where(table.c.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(table.c.at < wanted.until)
    if before is not None:
        query = query.where(table.c.id < before)
    try:
        return await database.fetch(query)
    except StoreUnavailable as error:
        raise HTTPException(503, f"The audit cannot be read: {error}") from error


def audit_routes(store: Store | None) -> APIRouter:
    """Return `/admin/audit` and `/admin/audit.csv`."""
    router = APIRouter(prefix="/audit")
    members = [Depends(require(AdminRole.TEAM))]

    @router.get("", dependencies=members)
    async def audit(
        wanted: Annotated[Wanted, Depends()],
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        cursor: Annotated[
            int | None, Query(ge=0, lt=2**63, description="`next` of the page before")
        ] = None,
    ) -> dict[str, Any]:
        """Return who changed what, the newest first. Members of a team see what is of it."""
        rows = await rows_of(store, wanted, limit + 1, cursor)
        shown = [
            {
                **row._mapping,
                "before": _content(row.before),
                "after": _content(row.after),
            }
            for row in rows[:limit]
        ]
        return {"rows": shown, "next": shown[-1]["id"] if len(rows) > limit else None}

    @router.get(".csv", response_class=Response, dependencies=members)
    async def audit_csv(wanted: Annotated[Wanted, Depends()]) -> Response:
        """Return the rows as CSV, with a head. No text can become a formula of a spreadsheet."""
        rows = await rows_of(store, wanted, MAX_CSV_ROWS + 1)
        if len(rows) > MAX_CSV_ROWS:
            raise HTTPException(
                400, f"These are more than {MAX_CSV_ROWS:,} rows. Ask for a shorter time."
            )
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(COLUMNS)
        for id, at, *texts in rows:
            moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
            writer.writerow([id, moment, *map(cell, texts)])
        name = 'attachment; filename="audit.csv"'
        return Response(
            out.getvalue(), media_type="text/csv", headers={"content-disposition": name}
        )

    return router


def _content(text: str | None) -> Any:
    return None if text is None else json.loads(text)
