"""The admin API of a made-up proxy, as far as the terminal asks it: chunked, by uvicorn."""

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from tests.support.background import in_background
from tests.tools.top import made_up

EVERY_S = 0.1  # ten times as often as the real one, so that tests need not wait


@dataclass
class World:
    """What the fake proxy answers. `refusal`: status and detail for everything under /admin."""

    state: dict = field(default_factory=made_up.state)
    history: dict = field(default_factory=made_up.history)
    calls: list = field(default_factory=made_up.calls)
    key: str | None = None
    refusal: tuple[int, str] | None = None
    silent: bool = False  # keeps the stream open, and says nothing
    stopped: bool = False
    asked: list = field(default_factory=list)  # path and query of each request
    done: list = field(default_factory=list)  # the actions, and what they are about
    new_calls: list = field(default_factory=list)
    new_points: list = field(default_factory=list)


@asynccontextmanager
async def serve_fake(world, port=0):
    """Serve a World until the end; yields its root."""
    listening = socket.create_server(("127.0.0.1", port))
    listening.setblocking(False)
    config = uvicorn.Config(make_fake(world), log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listening]))
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        world.stopped = True
        server.should_exit = True
        await serving


def make_fake(world):
    app = FastAPI()

    @app.middleware("http")
    async def guard(request: Request, go_on):
        world.asked.append(f"{request.url.path}?{request.url.query}".rstrip("?"))
        if world.refusal is not None:
            return JSONResponse({"detail": world.refusal[1]}, world.refusal[0])
        if world.key is not None and request.headers.get("authorization") != f"Bearer {world.key}":
            return JSONResponse({"detail": "This is not the admin_key."}, 401)
        return await go_on(request)

    @app.get("/admin/state")
    async def state():
        return world.state

    @app.get("/admin/history")
    async def history(span: str, group: str | None = None):
        assert span == "15m"
        return world.history

    @app.get("/admin/calls")
    async def calls(limit: int, group: str | None = None):
        found = [call for call in world.calls if group in (None, call["group"])]
        return {"calls": found[:limit]}

    @app.post("/admin/{action}")
    async def act(action: str, request: Request):
        if action == "clear":
            return JSONResponse({"detail": "Your role may not do this."}, 403)
        world.done.append((action, await request.json()))
        return {"endpoints": 1}

    @app.get("/admin/events")
    async def events():
        return StreamingResponse(events_of(world), media_type="text/event-stream")

    @app.get("/other/admin/events")
    async def page():
        return Response("<p>It works!</p>", media_type="text/html")

    return app


async def events_of(world):
    yield ": here we go\n\n"
    while not world.stopped:
        if not world.silent:
            yield event("state", world.state)
            if world.new_calls:
                yield event("calls", {"calls": world.new_calls})
                world.new_calls = []
            if world.new_points:
                yield event("point", {"point": world.new_points.pop(0), "step_s": 5})
        await asyncio.sleep(EVERY_S)


def event(name, value):
    return f"event: {name}\ndata: {json.dumps(value)}\n\n"


def served(world, port=0):
    """Serve a World in a thread."""
    return in_background(lambda: serve_fake(world, port))
