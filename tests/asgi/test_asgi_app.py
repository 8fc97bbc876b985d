"""`llmproxy.asgi`: under plain uvicorn, and mounted into a FastAPI application."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest
import uvicorn
import yaml
from fastapi import FastAPI

from llmproxy.asgi import ASGIProxy
from tests.support.client import CHAT, ask
from tests.support.proxy import config_for
from tests.support.run import bounded
from tests.support.vendor import GOOD, chat, scripted
from tests.support.waiting import until


@asynccontextmanager
async def under_plain_uvicorn(app):
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="on", log_level="error"))
    serving = asyncio.create_task(server.serve([listening]))
    await until(lambda: server.started or serving.done())
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        await serving


def written(folder, config):
    path = folder / "proxy.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@bounded()
async def test_it_runs_under_plain_uvicorn_with_the_config_that_the_environment_names(tmp_path):
    async with scripted(GOOD) as vendor:
        path = written(tmp_path, config_for(vendor.base_url))
        proxy = ASGIProxy(environ={"LLMPROXY_CONFIG": str(path)})
        async with under_plain_uvicorn(proxy) as port:
            assert (await ask(port, body=CHAT)).json == chat("good")
            assert (await ask(port, "/livez", method="GET")).json == {"status": "alive"}
            assert (await ask(port, "/metrics", method="GET")).status == 200
            page = [("origin", "https://evil.example")]
            assert (await ask(port, body=CHAT, headers=page)).status == 403


@bounded()
async def test_it_is_mounted_beside_the_paths_of_another_application(tmp_path):
    async with scripted(GOOD) as vendor:
        proxy = ASGIProxy(written(tmp_path, config_for(vendor.base_url)), environ={})
        outer = FastAPI(lifespan=proxy.lifespan)

        @outer.get("/mine")
        async def mine():
            return "mine"

        outer.mount("/llm", proxy)
        async with under_plain_uvicorn(outer) as port:
            assert (await ask(port, "/mine", method="GET")).json == "mine"
            assert (await ask(port, "/llm/v1/chat/completions", CHAT)).json == chat("good")
            models = (await ask(port, "/llm/v1/models", method="GET")).json
            assert [model["id"] for model in models["data"]] == ["gpt-4.1"]
            assert (await ask(port, "/llm/readyz", method="GET")).json == {"status": "ready"}


@bounded()
async def test_a_changed_file_is_reloaded(tmp_path):
    async with scripted(GOOD) as vendor:
        path = written(tmp_path, config_for(vendor.base_url))
        async with under_plain_uvicorn(ASGIProxy(path, environ={})) as port:
            path.write_text(yaml.safe_dump(config_for(vendor.base_url, group="other")))
            body = {**CHAT, "model": "other"}
            async with asyncio.timeout(10):
                while (await ask(port, body=body)).status != 200:
                    await asyncio.sleep(0.1)


@bounded()
async def test_a_server_learns_why_it_cannot_start(tmp_path):
    path = written(tmp_path, {"model_groups": []})
    sent = []

    async def receive():
        return {"type": "lifespan.startup"}

    async def send(message):
        sent.append(message)

    await ASGIProxy(path, environ={})({"type": "lifespan"}, receive, send)
    (failed,) = sent
    assert failed["type"] == "lifespan.startup.failed"
    assert "model_groups" in failed["message"]


@bounded()
async def test_a_call_before_the_lifespan_says_what_is_missing():
    with pytest.raises(RuntimeError, match="pass its `lifespan`"):
        await ASGIProxy(environ={})({"type": "http", "path": "/v1/models"}, None, None)
