"""A whole proxy on a real socket, in this process: the same parts as `llmproxy serve`."""

import asyncio
import signal
import socket
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial

import yaml

from llmproxy.app import App
from llmproxy.batteries.admin.app import make_admin
from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.reload import Reloader
from llmproxy.composition import config_file, installed
from llmproxy.events import (
    AttemptEnded,
    CallFinished,
    EndpointStateChanged,
    HealthChecked,
    Listener,
)
from llmproxy.server import Server, make_server
from llmproxy.serving import open_app


@dataclass
class RecordedEvents(Listener):
    """A listener that keeps every event."""

    calls: list[CallFinished] = field(default_factory=list)
    attempts: list[AttemptEnded] = field(default_factory=list)
    changes: list[EndpointStateChanged] = field(default_factory=list)
    health_checks: list[HealthChecked] = field(default_factory=list)

    def call_finished(self, event):
        self.calls.append(event)

    @property
    def failures(self):
        """The events of failed attempts."""
        return [event for event in self.attempts if event.attempt.outcome == "failed"]

    def attempt_ended(self, event):
        self.attempts.append(event)

    def endpoint_state_changed(self, event):
        self.changes.append(event)

    def health_checked(self, event):
        self.health_checks.append(event)


class MadeLate:
    """The admin application, made at its first request: that takes longer than most tests."""

    def __init__(self, *parts):
        self._parts = parts
        self._app = None

    async def __call__(self, scope, receive, send):
        if self._app is None:
            self._app = make_admin(*self._parts)
        await self._app(scope, receive, send)


class PromptServer(Server):
    """The server, but it stops within milliseconds. uvicorn checks ten times a second, and a
    thousand tests would wait for that.
    """

    async def on_tick(self, counter):
        await super().on_tick(counter)
        while not self.should_exit:
            await asyncio.sleep(0.005)
        return True


@dataclass
class Proxy:
    """A running proxy. `reloader`: None without a config file."""

    port: int
    app: App
    events: RecordedEvents
    server: object
    reloader: Reloader | None

    @property
    def root(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self):
        return f"{self.root}/v1"

    @property
    def runtime(self):
        return self.app.live.runtime


@asynccontextmanager
async def listening_socket():
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        listening.setblocking(False)
        yield listening


@asynccontextmanager
async def serve_proxy(
    config, environ=None, *, path=None, health_checks=None, credentials=None, without=()
):
    """Serve a config (YAML text, or the same as Python values) on a free port.

    `path`: the config file, for tests that reload it. Nothing else does. `health_checks`,
    `credentials`: instead of those that are installed. `without`: batteries that are not installed.
    """
    text = config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False)
    reloader = None
    if path is None:
        parsed = parse_config(text, environ or {}, file="test.yaml")
    else:
        path.write_text(text)
        file = config_file(path, environ or {})
        parsed = file.load()
        reloader = Reloader(file, lambda _: nullcontext())
    batteries = installed(reloader=reloader)
    batteries = replace(batteries, open_admin=partial(batteries.open_admin, make=MadeLate))
    batteries = replace(batteries, **dict.fromkeys(without))
    if health_checks is not None:
        batteries = replace(batteries, health_checks=health_checks)
    if credentials is not None:
        batteries = replace(batteries, credentials=credentials)
    events = RecordedEvents()
    opening = open_app(parsed, environ=environ or {}, batteries=batteries, listener=events)
    async with (
        opening as app,
        listening_socket() as listening,
        batteries.front.open(app.live) as accept,
    ):
        server = PromptServer(make_server(app).config, app, None, accept)
        serving = asyncio.create_task(server.serve([listening]))
        while not server.started:
            await asyncio.sleep(0.005)
        try:
            yield Proxy(listening.getsockname()[1], app, events, server, reloader)
        finally:
            if not server.should_exit:  # as after Ctrl+C, which waits for no load balancer
                server.handle_exit(signal.SIGINT, None)
            await serving


def config_for(*endpoints, group="gpt-4.1", **settings):
    """Return a config with one group. Endpoints are base URLs, or entries of `models`."""
    settings.setdefault("drain_delay_s", 0)
    settings.setdefault("drain_timeout_s", 1)
    models = [
        {"params": {"base_url": endpoint, "api_key": "sk-upstream"}}
        if isinstance(endpoint, str)
        else endpoint
        for endpoint in endpoints
    ]
    return {
        "model_groups": [{"model_group": group, "models": models}],
        "general_settings": settings,
    }
