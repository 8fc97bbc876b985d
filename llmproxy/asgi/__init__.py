"""The proxy as an ASGI application: for another server, or mounted into an application of yours.

    uvicorn llmproxy.asgi:app

docs/guides/asgi.md lists the differences from `llmproxy serve`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from llmproxy.app import App
from llmproxy.asgi.exchange import serve_asgi
from llmproxy.composition import config_to_serve, installed, reloader_of
from llmproxy.errors import ConfigError
from llmproxy.protocols import Receive, Scope, Send
from llmproxy.serving import open_app

NO_CONFIG = (
    "No config was found. Set LLMPROXY_CONFIG to a file, or put llmproxy.yaml into the current "
    "folder, or set the keys of a vendor, such as OPENAI_API_KEY."
)


class ASGIProxy:
    """An ASGI application that opens its config when the server starts it.

    `config`: the file to serve; None = LLMPROXY_CONFIG, else llmproxy.yaml in the current folder,
    else the keys in the environment. A mounted application gets no lifespan events from Starlette
    or FastAPI: pass `lifespan` to the outer application.
    """

    def __init__(
        self,
        config: str | os.PathLike[str] | None = None,
        *,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._config = config
        self._environ = environ
        self._app: App | None = None

    @asynccontextmanager
    async def lifespan(self, _outer: object = None) -> AsyncIterator[None]:
        """Open the proxy, and close it at the end. Raises ConfigError."""
        path = None if self._config is None else Path(self._config)
        config, file = config_to_serve(path, self._environ)
        if config is None:
            raise RuntimeError(NO_CONFIG)
        reloader = reloader_of(file, signals=False)
        batteries = installed(log_to=sys.stdout.fileno(), reloader=reloader)
        async with open_app(config, environ=self._environ, batteries=batteries) as app:
            self._app = app
            try:
                yield
            finally:
                app.live.draining = True
                self._app = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3: HTTP and lifespan."""
        if scope["type"] == "lifespan":
            await self._serve_lifespan(receive, send)
        elif self._app is None:
            raise RuntimeError("The proxy is not open: pass its `lifespan` to your application.")
        else:
            await serve_asgi(self._app, _as_at_the_root(scope), receive, send)

    async def _serve_lifespan(self, receive: Receive, send: Send) -> None:
        await receive()  # lifespan.startup
        try:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(self.lifespan())
                await send({"type": "lifespan.startup.complete"})
                await receive()  # lifespan.shutdown
        except (ConfigError, RuntimeError) as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})


def _as_at_the_root(scope: Scope) -> Scope:
    """Return a scope whose raw path is what follows the path that we are mounted at."""
    raw = scope.get("raw_path") or scope["path"].encode("utf-8")
    mounted_at = scope.get("root_path", "").encode("utf-8")
    return {**scope, "raw_path": raw.removeprefix(mounted_at) or b"/"}


app = ASGIProxy()
