"""What doctor opens: the endpoints and the client as calls have them, and a proxy of its own."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from pydantic import SecretStr

from llmproxy.batteries.settings import FullConfig, FullSettings
from llmproxy.composition import installed
from llmproxy.config.models import ModelEntry, ModelGroup
from llmproxy.events import Listener
from llmproxy.runtime.process_state import ProcessState
from llmproxy.runtime.resources import Resources, open_resources
from llmproxy.server import make_server
from llmproxy.serving import Batteries, open_app
from llmproxy.tools.doctor.recorder import WireRecorder

LOOPBACK = "127.0.0.1"
BACKLOG = 64


def _bare(recorder: WireRecorder | None = None) -> Batteries:
    """Return the batteries without those that count or show something."""
    batteries = replace(installed(), open_admin=None, telemetry=None)
    return batteries if recorder is None else replace(batteries, tunnels=lambda _: recorder)


def _bare_settings(settings: FullSettings) -> FullSettings:
    """Return settings without anything that a call to one endpoint does not need."""
    timeouts = settings.timeouts
    if timeouts.connect_s > FullSettings().timeouts.connect_s:
        timeouts = timeouts.model_copy(update={"connect_s": FullSettings().timeouts.connect_s})
    return FullSettings(
        bind_address=LOOPBACK,
        bind_port=0,
        hedge="off",
        affinity="off",
        num_retries=0,
        health_check="off",
        database_url=SecretStr("off"),
        state_file="off",
        access_log=False,
        timeouts=timeouts,
        price_list=settings.price_list,
        on_untranslatable=settings.on_untranslatable,
    )


@asynccontextmanager
async def opened(config: FullConfig, environ: Mapping[str, str]) -> AsyncIterator[Resources]:
    """Open the endpoints of a config and the client that calls them. Raises ConfigError."""
    bare = config.model_copy(update={"general_settings": _bare_settings(config.general_settings)})
    process = ProcessState(environ=environ, listener=Listener(), batteries=_bare())
    resources = await open_resources(bare, process)
    try:
        yield resources
    finally:
        await resources.close()


@asynccontextmanager
async def proxy_beside(
    config: FullConfig,
    entries: Mapping[str, ModelEntry],
    environ: Mapping[str, str],
    recorder: WireRecorder,
) -> AsyncIterator[str]:
    """Serve some endpoints on a free port of loopback, each as a group of its own name; yield the
    base URL without a path. It handles no signals, and calls endpoints through the recorder."""
    groups: Sequence[ModelGroup] = [
        ModelGroup(model_group=name, models=(entry,)) for name, entry in entries.items()
    ]
    serving = FullConfig(
        model_groups=tuple(groups), general_settings=_bare_settings(config.general_settings)
    )
    with socket.create_server((LOOPBACK, 0), backlog=BACKLOG) as listening:
        listening.setblocking(False)
        async with open_app(serving, environ=environ, batteries=_bare(recorder)) as app:
            server = make_server(app)
            # `serve` would take the signals of the command.
            server.config.load()
            server.lifespan = server.config.lifespan_class(server.config)
            await server.startup([listening])
            try:
                yield f"http://{LOOPBACK}:{listening.getsockname()[1]}"
            finally:
                server.force_exit = True
                await server.shutdown([listening])
