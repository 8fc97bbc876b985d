"""The ASGI application under plain uvicorn, with uvicorn's own protocols."""

import asyncio
import socket
from contextlib import asynccontextmanager
from functools import partial

import uvicorn
import yaml

from llmproxy.asgi.exchange import serve_asgi
from llmproxy.batteries.config_file import parse_config
from llmproxy.composition import installed
from llmproxy.serving import open_app
from tests.support.proxy import RecordedEvents


@asynccontextmanager
async def under_uvicorn(config, implementation):
    """Serve a config with an HTTP implementation of uvicorn; yield the port and the events."""
    events = RecordedEvents()
    parsed = parse_config(yaml.safe_dump(config), {}, file="test.yaml")
    listening = socket.create_server(("127.0.0.1", 0))
    async with open_app(parsed, environ={}, batteries=installed(), listener=events) as app:
        server = uvicorn.Server(
            uvicorn.Config(
                partial(serve_asgi, app),
                http=implementation,
                interface="asgi3",
                lifespan="off",
                log_level="error",
            )
        )
        serving = asyncio.create_task(server.serve([listening]))
        while not server.started:
            await asyncio.sleep(0.005)
        try:
            yield listening.getsockname()[1], events
        finally:
            server.should_exit = True
            await serving
