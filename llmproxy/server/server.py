"""uvicorn's server with our connection class, and a shutdown that loses no call.

After SIGTERM `/readyz` answers 503. After `drain_delay_s`, in which load balancers notice, the
sockets close and calls finish. A call that runs longer than `drain_timeout_s` is cancelled, and its
client gets an error in the answer itself. Ctrl+C skips the delay; a second one ends at once.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable
from types import FrameType

import uvicorn

from llmproxy.app import App
from llmproxy.server.connection import ServerConnection

# How long cancelled calls may take to send their errors.
CANCEL_GRACE_S = 2.0
BACKLOG = 4096


MakeConnection = Callable[[type[ServerConnection]], ServerConnection]
# Accepts connections at a socket; the first argument makes the protocol of each, of a class.
Listen = Callable[[MakeConnection, socket.socket], Awaitable[asyncio.Server]]


async def listen(make: MakeConnection, listening: socket.socket) -> asyncio.Server:
    """Accept connections without TLS, each from the client itself."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: make(ServerConnection), sock=listening, backlog=BACKLOG)


class Server(uvicorn.Server):
    """Serves one set of sockets in one process."""

    def __init__(
        self,
        config: uvicorn.Config,
        app: App,
        on_started: Callable[[], None] | None,
        listen: Listen = listen,
    ) -> None:
        super().__init__(config)
        self._on_started = on_started
        self._app = app
        self._listen = listen
        self._settings = app.live.runtime.config.general_settings
        self._waits_for_load_balancers = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note a signal: Ctrl+C skips the delay for load balancers."""
        if sig == signal.SIGINT:
            self._waits_for_load_balancers = False
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        sockets = sockets or []
        names = [listening.getsockname() for listening in sockets]
        self._app.listens_at(name[0] if isinstance(name, tuple) else "unix" for name in names)
        await super().startup([])  # uvicorn's part without listening
        for listening in sockets:
            self.servers.append(await self._listen(self._connection, listening))
        if self._on_started is not None:
            self._on_started()

    def _connection(self, kind: type[ServerConnection]) -> ServerConnection:
        return kind(self.config, self.server_state)

    async def main_loop(self) -> None:
        """Serve until a signal arrives, and then until load balancers have noticed."""
        await super().main_loop()
        self._app.live.draining = True
        loop = asyncio.get_running_loop()
        accepting_until = loop.time() + self._settings.drain_delay_s
        while self._waits_for_load_balancers and loop.time() < accepting_until:  # noqa: ASYNC110 - set by a signal
            await asyncio.sleep(0.05)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting connections, let calls finish, and cancel those that take too long."""
        cancelling = asyncio.create_task(self._cancel_calls_later())
        try:
            await super().shutdown(sockets)
        finally:
            cancelling.cancel()
            # uvicorn would raise the signal again, and the log would lose its last lines.
            self._captured_signals.clear()

    async def _cancel_calls_later(self) -> None:
        await asyncio.sleep(self._settings.drain_timeout_s)
        for connection in list(self.server_state.connections):
            if isinstance(connection, ServerConnection):
                connection.cancel_call()


def make_server(
    app: App,
    *,
    on_started: Callable[[], None] | None = None,
    listen: Listen = listen,
) -> Server:
    """Return a server whose `serve(sockets)` runs until a signal.

    `on_started` is called once connections are accepted and signals are handled. `listen`: how
    they are accepted.
    """
    settings = app.live.runtime.config.general_settings
    config = uvicorn.Config(
        app,
        http=ServerConnection,
        ws="none",
        interface="asgi3",
        lifespan="off",
        proxy_headers=False,
        access_log=False,
        log_config=None,
        log_level="warning",  # without one, uvicorn makes a line for each connection, for no log
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=int(settings.drain_timeout_s + CANCEL_GRACE_S),
    )
    return Server(config, app, on_started, listen)
