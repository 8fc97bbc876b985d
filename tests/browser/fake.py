"""A fake admin API behind the real page: it answers from a World, and records actions there."""

import asyncio
import json
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import StreamingResponse

from llmproxy.batteries.admin.pages import dashboard_routes
from tests.browser.fake_keys import add_key_actions, add_keys, add_teams
from tests.browser.fake_spend import add_spend
from tests.browser.world import World

EVENT_EVERY_S = 0.25  # four times as fast as the real one, so that tests need not wait
COOKIE = "llmproxy_admin"


@asynccontextmanager
async def serve_fake(listening):
    """Serve on a listening socket; yields the app, whose `app.state.world` is the World."""
    app = make_fake()
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listening]))
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield app
    finally:
        server.should_exit = True
        await serving


def make_fake():
    app = FastAPI()
    app.state.world = World()
    app.include_router(dashboard_routes())

    @app.middleware("http")
    async def guard(request: Request, go_on):
        world = app.state.world
        path = request.url.path
        if world.stopped and path.startswith("/admin"):
            return Response("gone", 503)
        if world.forbidden and path.startswith("/admin"):
            return refusal(403, world.forbidden)
        open_to_all = path in ("/admin/session", "/admin/login", "/admin/logout")
        if path.startswith("/admin") and not open_to_all and not signed_in(world, request):
            return refusal(401, "Sign in.")
        return await go_on(request)

    add_session(app)
    add_views(app)
    add_keys(app)
    add_key_actions(app)
    add_teams(app)
    add_spend(app)
    add_actions(app)
    return app


def refusal(status, detail):
    return Response(json.dumps({"detail": detail}), status, media_type="application/json")


def signed_in(world, request):
    return world.key is None or request.cookies.get(COOKIE) in world.sessions


def add_session(app):
    @app.get("/admin/session")
    async def session(request: Request):
        world = app.state.world
        return {
            "protected": world.key is not None,
            "signed_in": signed_in(world, request),
            "sign_in": False,
        }

    @app.post("/admin/login", status_code=204)
    async def login(request: Request, response: Response):
        world = app.state.world
        if (await request.json())["key"] != world.key:
            raise HTTPException(401, "This is not the admin key.")
        world.sessions.add("made-up-session")
        response.set_cookie(COOKIE, "made-up-session", httponly=True, samesite="strict")

    @app.post("/admin/logout", status_code=204)
    async def logout():
        app.state.world.sessions.clear()


def add_views(app):
    @app.get("/admin/state")
    async def state():
        return app.state.world.state()

    @app.get("/admin/history")
    async def history(range: str = "15m", group: str | None = None):
        return app.state.world.history(range, group)

    @app.get("/admin/calls")
    async def calls(
        limit: int = 50,
        notable: bool = False,
        group: str | None = None,
        status: str | None = None,
        caller: str | None = None,
        cursor: int = 0,
    ):
        found = [
            call
            for call in app.state.world.calls
            if (group is None or call["group"] == group)
            and (not notable or is_notable(call))
            and caller in (None, call["caller"])
            and (status is None or status == f"{call['status'] // 100}xx")
        ]
        page = found[cursor : cursor + limit]
        more = cursor + limit if len(found) > cursor + limit else None
        return {"calls": page, "next": more, "missing": None}

    @app.get("/admin/calls/{id}")
    async def one(id: str):
        for call in app.state.world.calls:
            if call["id"] == id:
                return call
        raise HTTPException(404, f"Call {id!r} not found.")

    @app.get("/admin/events")
    async def events(request: Request):
        return StreamingResponse(event_stream(app, request), media_type="text/event-stream")


def is_notable(call):
    attempts = [step for step in call["steps"] if step["what"] == "attempt"]
    return call["error"] is not None or len(attempts) > 1 or call["fallback"] is not None


async def event_stream(app, request):
    """Stream the events until the World is replaced or the session ends."""
    world = app.state.world
    last = None
    yield "retry: 500\n\n"
    while world is app.state.world and not world.stopped and signed_in(world, request):
        if not world.silent:
            yield event("state", world.state())
            if not world.empty:
                yield event("calls", {"calls": world.more_calls()})
            newest = world.history("15m", None)["points"][-1]
            if newest["at"] != last:
                last = newest["at"]
                yield event("point", {"point": newest, "step_s": 5})
        await asyncio.sleep(EVENT_EVERY_S)


def event(name, value):
    return f"event: {name}\ndata: {json.dumps(value)}\n\n"


# What an action does to a World's sets of (group, endpoint).
ACTIONS = {
    "drain": lambda world, pairs: world.drained.update(pairs),
    "enable": lambda world, pairs: world.drained.difference_update(pairs),
    "clear": lambda world, pairs: world.cleared.update(pairs),
}


def add_actions(app):
    @app.post("/admin/reload")
    async def reload():
        world = app.state.world
        if world.reload_problems:
            raise HTTPException(422, world.reload_problems)
        world.done.append(("reload", None))
        return {
            "reloaded": True,
            "changes": ["azure-east: weight 2 -> 3", "azure-south is new in gpt-4.1"],
        }

    @app.post("/admin/{action}")
    async def act(action: str, request: Request):
        world, body = app.state.world, await request.json()
        if world.refuse_actions:
            raise HTTPException(404, f"There is no endpoint {body['endpoint']!r}.")
        world.done.append((action, body))
        pairs = {
            (group["group"], body["endpoint"])
            for group in world.state()["groups"]
            for endpoint in group["endpoints"]
            if endpoint["endpoint"] == body["endpoint"] and body["group"] in (None, group["group"])
        }
        ACTIONS[action](world, pairs)
        return {"endpoints": len(pairs)}

    @app.delete("/admin/cache")
    async def purge(group: str | None = None):
        app.state.world.done.append(("purge", group))
        return {"memory": 1_204, "second_level": 17_000}
