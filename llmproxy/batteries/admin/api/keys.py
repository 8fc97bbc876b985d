"""`/admin/keys` and `/admin/teams`: what is made, changed and listed while the proxy runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Body, HTTPException, Query, Request

from llmproxy.batteries.admin.audit import audit
from llmproxy.batteries.admin.auth import Member, own_team
from llmproxy.batteries.admin.people import AdminRole, Person
from llmproxy.batteries.keys import Keys, OrderError
from llmproxy.batteries.settings import Caller, FullSettings, Team, full
from llmproxy.batteries.store import StoreUnavailable
from llmproxy.runtime import LiveConfig

if TYPE_CHECKING:
    from llmproxy.batteries.budgets import Budgets, BudgetStatus

View = dict[str, Any]
Order = Annotated[dict[str, Any], Body()]
Search = Annotated[str | None, Query(description="in name, owner, note, prefix or id")]
Limit = Annotated[int, Query(ge=1, le=1000)]
Cursor = Annotated[str | None, Query(description="`next` of the page before")]
State = Literal["active", "blocked", "expired"]

OPEN = (
    "This proxy also serves clients without a key. Set general_settings.keys_required: true, or "
    "add callers, to refuse them."
)


@contextmanager
def refusals() -> Iterator[None]:
    """Answer an order that cannot be carried out with its status and reason."""
    try:
        yield
    except OrderError as error:
        raise HTTPException(error.status, str(error)) from error
    except StoreUnavailable as error:
        raise HTTPException(503, f"Nothing was changed or read: {error}") from error


def key_routes(live: LiveConfig, keys: Keys, budgets: Budgets | None) -> APIRouter:
    """Return the routes of `/admin/keys`. `budgets`: None = not installed."""
    router = APIRouter(prefix="/keys")

    @router.get("")
    async def list_keys(
        person: Member,
        *,
        search: Search = None,
        team: str | None = None,
        state: State | None = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> View:
        """Return a page of keys, the newest first. The callers of the config come before all."""
        team = own_team(person, team)
        with refusals():
            admin = await keys.keys()
            page = await admin.page(
                search=search, team=team, state=state, limit=limit, cursor=cursor
            )
        configured = []
        if cursor is None:
            configured = [
                view
                for caller in _settings(live).callers
                if team in (None, caller.team)
                and (search or "").lower() in caller.name.lower()
                and (view := caller_view(caller))["state"] == (state or view["state"])
            ]
        views = configured + page["keys"]
        note_left("key", views, budgets)
        return {**page, "keys": views, "total": page["total"] + len(configured)}

    @router.post("", status_code=201)
    async def create_key(order: Order, request: Request) -> View:
        """Make a key. The answer shows it once, as `key`."""
        with refusals():
            admin = await keys.keys()
            view, secret = await admin.create(order, by=who(request), taken=caller_names(live))
        audit(request, "key.create", view["name"], after=view)
        return {**view, "key": secret, "notice": _notice(live)}

    _add_key_actions(router, keys, budgets)
    _add_key_change(router, live, keys)
    return router


def _add_key_change(router: APIRouter, live: LiveConfig, keys: Keys) -> None:
    """Add what changes one key."""

    @router.patch("/{id}")
    async def change_key(id: str, order: Order, request: Request) -> View:
        """Change what the body names; null removes it."""
        with refusals():
            admin = await keys.keys()
            before = await admin.key(id)
            after = await admin.change(id, order, taken=caller_names(live))
        audit(request, "key.change", before["name"], before, after)
        return after


def _add_key_actions(router: APIRouter, keys: Keys, budgets: Budgets | None) -> None:
    """Add what is done with one key."""

    @router.get("/{id}")
    async def get_key(id: str, person: Member) -> View:
        """Return a key, without the key itself."""
        with refusals():
            view = await (await keys.keys()).key(id)
        note_left("key", [view], budgets)
        return _own(view, view["team"], person)

    @router.post("/{id}/rotate")
    async def rotate_key(
        id: str, request: Request, order: Annotated[dict[str, Any] | None, Body()] = None
    ) -> View:
        """Replace a key. The one before stays valid for `overlap` (24h)."""
        with refusals():
            admin = await keys.keys()
            before = await admin.key(id)
            view, secret = await admin.rotate(id, order or {})
        audit(request, "key.rotate", view["name"], before, view)
        return {**view, "key": secret, "notice": None}

    @router.post("/{id}/block")
    async def block_key(id: str, request: Request) -> View:
        """Take a key out of use, on all instances within a second."""
        with refusals():
            admin = await keys.keys()
            before, view = await admin.key(id), await admin.block(id, blocked=True)
        audit(request, "key.block", view["name"], before, view)
        return view

    @router.post("/{id}/unblock")
    async def unblock_key(id: str, request: Request) -> View:
        """Put a key back into use."""
        with refusals():
            admin = await keys.keys()
            before, view = await admin.key(id), await admin.block(id, blocked=False)
        audit(request, "key.unblock", view["name"], before, view)
        return view

    @router.delete("/{id}", status_code=204)
    async def delete_key(id: str, request: Request) -> None:
        """Delete a key. What it has spent stays."""
        with refusals():
            admin = await keys.keys()
            before = await admin.key(id)
            await admin.delete(id)
        audit(request, "key.delete", before["name"], before)


def team_routes(live: LiveConfig, keys: Keys, budgets: Budgets | None) -> APIRouter:
    """Return the routes of `/admin/teams`. `budgets`: says what is left of those of teams."""
    router = APIRouter(prefix="/teams")

    @router.get("")
    async def list_teams(
        person: Member, search: Search = None, limit: Limit = 50, cursor: Cursor = None
    ) -> View:
        """Return a page of teams by name. Those of the config come before all."""
        if person.role is AdminRole.TEAM:
            page = await _own_page(live, keys, str(person.team))
            note_left("team", page["teams"], budgets)
            return page
        with refusals():
            page = await (await keys.teams()).page(search=search, limit=limit, cursor=cursor)
        names = {team.name: team for team in _settings(live).teams}
        made = [team for team in page["teams"] if team["name"] not in names]
        configured = [
            team_view(team)
            for team in names.values()
            if cursor is None and (search or "").lower() in team.name.lower()
        ]
        views = configured + made
        note_left("team", views, budgets)
        return {**page, "teams": views, "total": page["total"] + len(configured)}

    @router.post("", status_code=201)
    async def create_team(order: Order, request: Request) -> View:
        """Make a team."""
        with refusals():
            view = await (await keys.teams()).create(order, taken=team_names(live))
        audit_team(request, "team.create", None, view)
        return view

    @router.get("/{name}")
    async def get_team(name: str, person: Member) -> View:
        """Return a team."""
        with refusals():
            view = await (await keys.teams()).team(name)
        note_left("team", [view], budgets)
        return _own(view, name, person)

    _add_team_actions(router, live, keys)
    return router


def _add_team_actions(router: APIRouter, live: LiveConfig, keys: Keys) -> None:
    """Add what is done to one team."""

    @router.patch("/{name}")
    async def change_team(name: str, order: Order, request: Request) -> View:
        """Change what the body names; null removes it."""
        with refusals():
            refuse_configured(live, name)
            teams = await keys.teams()
            before = await teams.team(name)
            after = await teams.change(name, order)
        audit_team(request, "team.change", before, after)
        return after

    @router.post("/{name}/block")
    async def block_team(name: str, request: Request) -> View:
        """Take all keys of a team out of use, on all instances within a second."""
        with refusals():
            refuse_configured(live, name)
            teams = await keys.teams()
            before, view = await teams.team(name), await teams.block(name, blocked=True)
        audit_team(request, "team.block", before, view)
        return view

    @router.post("/{name}/unblock")
    async def unblock_team(name: str, request: Request) -> View:
        """Put the keys of a team back into use."""
        with refusals():
            teams = await keys.teams()
            before, view = await teams.team(name), await teams.block(name, blocked=False)
        audit_team(request, "team.unblock", before, view)
        return view

    @router.delete("/{name}", status_code=204)
    async def delete_team(name: str, request: Request) -> None:
        """Delete a team that has no keys."""
        with refusals():
            teams = await keys.teams()
            before = await teams.team(name)
            await teams.delete(name)
        audit_team(request, "team.delete", before, None)


def who(request: Request) -> str:
    """Return who makes a key, as its row says."""
    name = request.state.person.name
    return f"{name} at {request.client.host}" if request.client else name


def _own(view: View, team: str | None, person: Person) -> View:
    """Return what is shown of a team; to members of another one it does not exist."""
    if person.role is AdminRole.TEAM and team != person.team:
        raise HTTPException(404, "Your team has nothing of this name.")
    return view


async def _own_page(live: LiveConfig, keys: Keys, name: str) -> View:
    """Return the only team that a member sees."""
    team = [team_view(team) for team in _settings(live).teams if team.name == name]
    if not team:
        with refusals(), suppress(OrderError):  # nobody has made it yet
            team = [await (await keys.teams()).team(name)]
    return {"teams": team, "next": None, "total": len(team)}


def audit_team(request: Request, action: str, before: View | None, after: View | None) -> None:
    """Note a change of a team, which its members may read."""
    name = (after or before or {})["name"]
    marked = (None if view is None else {**view, "team": name} for view in (before, after))
    audit(request, action, name, *marked)


def _settings(live: LiveConfig) -> FullSettings:
    return full(live.runtime.config.general_settings)


def caller_names(live: LiveConfig) -> frozenset[str]:
    """Return the names that no key may have."""
    return frozenset(caller.name for caller in _settings(live).callers)


def team_names(live: LiveConfig) -> frozenset[str]:
    """Return the names of the teams of the config."""
    return frozenset(team.name for team in _settings(live).teams)


def refuse_configured(live: LiveConfig, name: str) -> None:
    """Raise OrderError if a team is in the config."""
    if name in team_names(live):
        raise OrderError(f"The config has a team named {name!r}; change it there.", status=409)


def _notice(live: LiveConfig) -> str | None:
    settings = _settings(live)
    return None if settings.keys_are_required else OPEN


def note_left(kind: str, views: list[View], budgets: Budgets | None) -> None:
    """Show what is left of the budgets of keys or teams; in dollars, of the one with the least."""
    if budgets is None:
        return
    from llmproxy.batteries.admin.api.budgets import budget_view  # noqa: PLC0415 - may be missing
    from llmproxy.batteries.budgets import Unit, amount_in_words  # noqa: PLC0415

    by_owner: dict[str, list[BudgetStatus]] = {}
    for status in budgets.statuses():
        if status.budget.kind == kind:
            by_owner.setdefault(status.budget.subject, []).append(status)
    for view in views:
        names = (view.get("id"), view["name"])  # a budget may be for either
        found = [status for name in names for status in by_owner.get(name or "", ())]
        known = {status.budget.id: budget_view(status) for status in found}
        made = [budget for budget in view["budgets"] if budget["id"] not in known]
        view["budgets"] = [*known.values(), *made]  # one made just now is not known yet
        left = [status.left for status in found if status.budget.unit == "usd"]
        if left:
            view["left_usd"] = amount_in_words(Unit.USD, min(left))


def caller_view(caller: Caller) -> View:
    """Return a caller of the config in the shape of a key."""
    until = caller.valid_until
    has_ended = until is not None and until <= time()
    return {
        **{"id": f"config:{caller.name}", "name": caller.name, "prefix": None},
        **{"team": caller.team, "owner": None, "note": None, "tags": list(caller.tags)},
        **{"models": caller.groups, "limits": caller.limits.model_dump(), "budgets": []},
        **{"state": "expired" if has_ended else "active", "source": "config"},
        **{"created_at": None, "created_by": None, "expires_at": until},
        **{"last_used_at": None, "earlier_key_until": None},
        **{"spent_usd": None, "left_usd": None},
    }


def team_view(team: Team) -> View:
    """Return a team of the config in the shape of one that was made at run time."""
    return {
        **{"name": team.name, "owner": None, "note": None, "models": team.groups},
        **{"limits": team.limits.model_dump(), "members": [], "keys": None, "budgets": []},
        **{"source": "config", "state": "active", "created_at": None, "left_usd": None},
    }
