"""`/admin/budgets`: what each budget has left, and those that are made while the proxy runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from typing import Annotated, Any

from fastapi import APIRouter, Body, HTTPException, Query, Request

from llmproxy.batteries.admin.audit import audit
from llmproxy.batteries.admin.auth import Member, own_team
from llmproxy.batteries.budgets import (
    Budget,
    BudgetError,
    Budgets,
    BudgetStatus,
    Kind,
    NoSuchBudgetError,
    amount_in_words,
)
from llmproxy.batteries.store import StoreUnavailable

View = dict[str, Any]
Order = Annotated[dict[str, Any], Body()]
Limit = Annotated[int, Query(ge=1, le=1000)]
Cursor = Annotated[str | None, Query(description="`next` of the page before")]


@contextmanager
def _refusals(id: str = "") -> Iterator[None]:
    try:
        yield
    except BudgetError as error:
        raise HTTPException(422, str(error)) from error
    except NoSuchBudgetError as error:
        found = f"There is no budget {id!r} that was made at run time."
        raise HTTPException(404, f"{found} Those of the config are changed there.") from error
    except StoreUnavailable as error:
        raise HTTPException(503, f"Nothing was changed: {error}") from error


def budget_routes(budgets: Budgets) -> APIRouter:
    """Return the routes of `/admin/budgets`."""
    router = APIRouter(prefix="/budgets")

    @router.get("")
    async def list_budgets(person: Member, limit: Limit = 100, cursor: Cursor = None) -> View:
        """Return a page of budgets with what is used and left, in the order of their ids.

        Members of a team see those of the team; `/admin/keys` has those of its keys."""
        team = own_team(person, None)
        of_whom = [known for known in budgets.statuses() if _is_of(known.budget, team)]
        every = sorted(of_whom, key=lambda status: status.budget.id)
        later = [status for status in every if cursor is None or status.budget.id > cursor]
        page = later[:limit]
        following = page[-1].budget.id if len(later) > limit else None
        return {"budgets": [budget_view(status) for status in page], "next": following}

    @router.post("", status_code=201)
    async def create_budget(order: Order, request: Request) -> View:
        """Make a budget: `{"for": {"team": "search"}, "usd": "200", "per": "month"}`."""
        with _refusals():
            view = _found(budgets, await (await budgets.administration()).create(order))
        audit(request, "budget.create", view["id"], after=view)
        return view

    @router.patch("/{id}")
    async def change_budget(id: str, order: Order, request: Request) -> View:
        """Change what the order names. What was spent stays spent."""
        before = _found(budgets, id)
        with _refusals(id):
            await (await budgets.administration()).change(id, order)
        after = _found(budgets, id)
        audit(request, "budget.change", id, before, after)
        return after

    @router.delete("/{id}", status_code=204)
    async def delete_budget(id: str, request: Request) -> None:
        """Delete a budget."""
        before = _found(budgets, id)
        with _refusals(id):
            await (await budgets.administration()).delete(id)
        audit(request, "budget.delete", id, before)

    return router


def _is_of(budget: Budget, team: str | None) -> bool:
    """Return whether a budget is of a team; None = any."""
    return team is None or (budget.kind, budget.subject) == (Kind.TEAM, team)


def _found(budgets: Budgets, id: str) -> View:
    return next(
        (budget_view(status) for status in budgets.statuses() if status.budget.id == id), {"id": id}
    )


def budget_view(status: BudgetStatus) -> View:
    """Return a budget as the API shows it: money in dollars, as decimal strings."""
    budget = status.budget

    def amount(value: int) -> str:
        return amount_in_words(budget.unit, value)

    state = "used_up" if not status.left else "ok"
    if state == "ok" and status.used >= min(budget.notify_at, default=inf) * budget.amount:
        state = "near"
    return {
        **{"id": budget.id, "for": {budget.kind: budget.subject}, "unit": budget.unit},
        **{"amount": amount(budget.amount), "per": budget.per, "time_zone": budget.time_zone},
        **{"hard": budget.hard, "notify_at": list(budget.notify_at)},
        **{"source": "config" if budget.in_config else "store", "state": state},
        **{"used": amount(status.used), "reserved": amount(status.reserved)},
        **{"left": amount(status.left), "starts_at": status.starts_at},
        "resets_at": None if status.resets_at == inf else status.resets_at,
    }
