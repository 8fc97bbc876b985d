"""`/key/...`: LiteLLM's orders for keys, carried out on ours."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, HTTPException, Query, Request

from llmproxy.batteries.admin.api.keys import (
    caller_names,
    caller_view,
    note_left,
    refusals,
    who,
)
from llmproxy.batteries.admin.audit import audit
from llmproxy.batteries.admin.auth import Member, own_team, require
from llmproxy.batteries.admin.people import AdminRole
from llmproxy.batteries.admin.sources import Sources
from llmproxy.batteries.keys import Keys
from llmproxy.batteries.litellm_habits.asking import LitellmRoute, client_of, operator_of
from llmproxy.batteries.litellm_habits.key_words import key_order, key_view, texts
from llmproxy.batteries.settings import full
from llmproxy.providers.base import BARE_KEYS
from llmproxy.record import CallOrigin
from llmproxy.runtime import LiveConfig

View = dict[str, Any]
Order = Annotated[dict[str, Any], Body()]
KeyParameter = Annotated[str | None, Query(max_length=200)]
ADMINS = [Depends(require(AdminRole.ADMIN))]
HEX_DIGEST = re.compile(r"[0-9a-f]{64}")


def key_routes(live: LiveConfig, sources: Sources, keys: Keys) -> APIRouter:
    """Return the routes of keys. `keys`: those that are made at run time."""
    router = APIRouter(prefix="/key", route_class=LitellmRoute, include_in_schema=False)

    @router.get("/info")
    async def key_info(request: Request, key: KeyParameter = None) -> View:
        """Return a key: a client's own, or any that an operator may see."""
        view = await _seen_key(live, keys, request, key)
        note_left("key", [view], sources.budgets)
        return {"key": key or view["prefix"] or view["name"], "info": key_view(view)}

    @router.get("/list")
    async def list_keys(
        person: Member,
        page: Annotated[int, Query(ge=1, le=1000)] = 1,
        size: Annotated[int, Query(ge=1, le=1000)] = 10,
        team_id: str | None = None,
        return_full_object: bool = False,
    ) -> View:
        """Return a page of the keys that were made at run time, the newest first."""
        team = own_team(person, team_id)
        with refusals():
            admin = await keys.keys()
            found = await admin.page(team=team, limit=size)
            for _ in range(page - 1):
                if found["next"] is None:
                    found["keys"] = []
                    break
                found = await admin.page(team=team, limit=size, cursor=found["next"])
        views = [key_view(view) for view in found["keys"]]
        return {
            "keys": views if return_full_object else [view["token"] for view in views],
            **{"total_count": found["total"], "current_page": page},
            "total_pages": -(-found["total"] // size),
        }

    changing = APIRouter(route_class=LitellmRoute, dependencies=ADMINS)
    _add_making(changing, live, keys)
    _add_changes(changing, live, keys)
    router.include_router(changing)
    return router


def _add_making(router: APIRouter, live: LiveConfig, keys: Keys) -> None:
    """Add what makes a key, or its secret."""

    @router.post("/generate")
    async def generate(order: Order, request: Request) -> View:
        """Make a key. The answer shows it once, as `key`."""
        with refusals():
            admin = await keys.keys()
            made, secret = await admin.create(
                key_order(order), by=who(request), taken=caller_names(live)
            )
        audit(request, "key.create", made["name"], after=made)
        return {**key_view(made), "key": secret}

    @router.post("/regenerate")
    @router.post("/{key:path}/regenerate")
    async def regenerate(
        request: Request, key: str = "", order: Annotated[View | None, Body()] = None
    ) -> View:
        """Replace a key; the one before is refused from now on."""
        with refusals():
            before = await found_key(keys, key or (order or {}).get("key"))
            view, secret = await (await keys.keys()).rotate(before["id"], {"overlap": "0"})
        audit(request, "key.rotate", view["name"], before, view)
        return {**key_view(view), "key": secret}


def _add_changes(router: APIRouter, live: LiveConfig, keys: Keys) -> None:
    """Add what changes keys, and deletes them."""

    @router.post("/update")
    async def update(order: Order, request: Request) -> View:
        """Change what the body names of a key."""
        with refusals():
            before = await found_key(keys, order.get("key"))
            ours = key_order(order, before)
            after = await (await keys.keys()).change(before["id"], ours, taken=caller_names(live))
        audit(request, "key.change", before["name"], before, after)
        return {**key_view(after), "key": order["key"]}

    def add_block(path: str, action: str, *, blocked: bool) -> None:
        @router.post(path)
        async def block(order: Order, request: Request) -> View:
            with refusals():
                before = await found_key(keys, order.get("key"))
                view = await (await keys.keys()).block(before["id"], blocked=blocked)
            audit(request, action, view["name"], before, view)
            return key_view(view)

    add_block("/block", "key.block", blocked=True)
    add_block("/unblock", "key.unblock", blocked=False)

    @router.post("/delete")
    async def delete(order: Order, request: Request) -> View:
        """Delete keys. What they have spent stays."""
        with refusals():
            wanted = [
                key for name in ("keys", "key_aliases") for key in texts(name, order.get(name))
            ]
            found = [await found_key(keys, key) for key in wanted]  # all, or none is deleted
            for view in found:
                await (await keys.keys()).delete(view["id"])
                audit(request, "key.delete", view["name"], view)
        return {"deleted_keys": wanted}


async def found_key(keys: Keys, key: object) -> View:
    """Return the view of a key: by itself, its SHA-256 in hex, our id, or its name.

    Raises a 404. Not an OrderError: the text that was sent may be a key, and is not repeated.
    """
    text = str(key or "")
    admin = await keys.keys()
    digest = b""
    if text.startswith("sk-"):
        digest = sha256(text.encode("utf-8", "surrogatepass")).digest()
    elif HEX_DIGEST.fullmatch(text):
        digest = bytes.fromhex(text)
    if digest:
        known = keys.known.table.find(digest)
        if known is not None and known.key is not None:
            return await admin.key(known.key)
    elif text.startswith("key_"):
        return await admin.key(text)
    elif text:
        page = await admin.page(search=text, limit=1000)
        for view in page["keys"]:
            if view["name"] == text:
                return dict(view)
    raise HTTPException(
        404,
        "There is no such key here. A key is named by itself, its SHA-256, "
        "its id (key_...) or its name.",
    )


async def _seen_key(live: LiveConfig, keys: Keys, request: Request, key: str | None) -> View:
    """Return the key that somebody asks for, if that may be: a client sees its own only."""
    client, operator = client_of(live, request), None
    if client is not None and client.caller is not None:
        own = await _own_view(live, keys, client)
        operator = operator_of(live, request)
        if key is None or key in _names_of(own, request):
            return own
        if operator is None:
            raise HTTPException(403, "A key shows itself only. Ask an operator for another one.")
    person = operator or await require(AdminRole.TEAM)(request)
    if key is None:
        raise HTTPException(400, "This is an operator's key. Name the key that you mean: ?key=")
    view = _configured(live, key.removeprefix("config:"))
    if view is None:
        with refusals():
            view = await found_key(keys, key)
    if person.role is AdminRole.TEAM and view["team"] != person.team:
        raise HTTPException(404, "Your team has nothing of this name.")
    return view


async def _own_view(live: LiveConfig, keys: Keys, client: CallOrigin) -> View:
    if client.key is not None:
        with refusals():
            return await (await keys.keys()).key(client.key)
    if (view := _configured(live, client.caller)) is not None:
        return view
    raise HTTPException(404, "This is a token of an identity provider: nothing is kept of it.")


def _configured(live: LiveConfig, name: str | None) -> View | None:
    """Return a caller of the config; None if it has none of this name."""
    callers = full(live.runtime.config.general_settings).callers
    return next((caller_view(caller) for caller in callers if caller.name == name), None)


def _names_of(own: View, request: Request) -> set[str]:
    """Return what a client may call its own key: its id, its name, itself, its SHA-256."""
    names = {own["id"], own["name"]}
    for header, value in request.headers.items():
        if header == "authorization" or header.encode() in BARE_KEYS:
            secret = value.rpartition(" ")[2]
            names |= {secret, sha256(secret.encode("latin-1", "replace")).hexdigest()}
    return names
