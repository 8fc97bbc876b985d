"""`/team/...`: LiteLLM's orders for teams, carried out on ours. A team's id is its name."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, HTTPException, Request

from llmproxy.batteries.admin.api.keys import (
    audit_team,
    note_left,
    refusals,
    refuse_configured,
    team_names,
)
from llmproxy.batteries.admin.api.keys import (
    team_view as configured_view,
)
from llmproxy.batteries.admin.auth import Member, require
from llmproxy.batteries.admin.people import AdminRole, Person
from llmproxy.batteries.admin.sources import Sources
from llmproxy.batteries.keys import Keys
from llmproxy.batteries.litellm_habits.asking import LitellmRoute
from llmproxy.batteries.litellm_habits.key_words import (
    key_view,
    team_order,
    team_view,
    texts,
)
from llmproxy.batteries.settings import full
from llmproxy.runtime import LiveConfig

View = dict[str, Any]
Order = Annotated[dict[str, Any], Body()]
MOST_KEYS = 1000


def team_routes(live: LiveConfig, sources: Sources, keys: Keys) -> APIRouter:
    """Return the routes of teams. `keys`: has those that are made at run time."""
    router = APIRouter(prefix="/team", route_class=LitellmRoute, include_in_schema=False)

    @router.get("/info")
    async def team_info(person: Member, team_id: str) -> View:
        """Return a team and its keys."""
        view = await _seen_team(live, keys, person, team_id)
        note_left("team", [view], sources.budgets)
        with refusals():
            page = await (await keys.keys()).page(team=team_id, limit=MOST_KEYS)
        note_left("key", page["keys"], sources.budgets)
        return {
            **{"team_id": team_id, "team_info": team_view(view)},
            **{"keys": [key_view(key) for key in page["keys"]], "team_memberships": []},
        }

    @router.get("/list")
    async def list_teams(person: Member) -> list[View]:
        """Return the teams that somebody may see, at most 1000 of those made at run time."""
        if person.role is AdminRole.TEAM:
            return [team_view(await _seen_team(live, keys, person, str(person.team)))]
        with refusals():
            page = await (await keys.teams()).page(limit=MOST_KEYS)
        configured = [configured_view(team) for team in _configured(live).values()]
        views = [*configured, *(t for t in page["teams"] if t["name"] not in _configured(live))]
        note_left("team", views, sources.budgets)
        return [team_view(view) for view in views]

    changing = APIRouter(route_class=LitellmRoute, dependencies=[Depends(require(AdminRole.ADMIN))])
    _add_changes(changing, live, keys)
    router.include_router(changing)
    return router


def _add_changes(router: APIRouter, live: LiveConfig, keys: Keys) -> None:
    """Add what makes, changes and deletes teams."""

    @router.post("/new")
    async def create(order: Order, request: Request) -> View:
        """Make a team."""
        with refusals():
            view = await (await keys.teams()).create(team_order(order), taken=team_names(live))
        audit_team(request, "team.create", None, view)
        return team_view(view)

    @router.post("/update")
    async def update(order: Order, request: Request) -> View:
        """Change what the body names of a team."""
        name = str(order.get("team_id") or "")
        with refusals():
            refuse_configured(live, name)
            teams = await keys.teams()
            before = await teams.team(name)
            after = await teams.change(name, team_order(order, before))
        audit_team(request, "team.change", before, after)
        return {"team_id": name, "data": team_view(after)}

    def add_block(path: str, action: str, *, blocked: bool) -> None:
        @router.post(path)
        async def block(order: Order, request: Request) -> View:
            name = str(order.get("team_id") or "")
            with refusals():
                refuse_configured(live, name)
                teams = await keys.teams()
                before, view = await teams.team(name), await teams.block(name, blocked=blocked)
            audit_team(request, action, before, view)
            return team_view(view)

    add_block("/block", "team.block", blocked=True)
    add_block("/unblock", "team.unblock", blocked=False)

    @router.post("/delete")
    async def delete(order: Order, request: Request) -> View:
        """Delete teams that have no keys."""
        with refusals():
            wanted = texts("team_ids", order.get("team_ids"))
            teams = await keys.teams()
            views = [await teams.team(name) for name in wanted]
            for view in views:
                await teams.delete(view["name"])
                audit_team(request, "team.delete", view, None)
        return {"deleted_teams": wanted}


async def _seen_team(live: LiveConfig, keys: Keys, person: Person, name: str) -> View:
    """Return a team, of the config or made at run time. Raises a 404 for another one's."""
    if person.role is AdminRole.TEAM and name != person.team:
        raise HTTPException(404, "Your team has nothing of this name.")
    if (team := _configured(live).get(name)) is not None:
        return configured_view(team)
    with refusals():
        return await (await keys.teams()).team(name)


def _configured(live: LiveConfig) -> dict[str, Any]:
    return {team.name: team for team in full(live.runtime.config.general_settings).teams}
