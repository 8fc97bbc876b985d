"""Accepts connections as the config says: with TLS, from load balancers, through UNIX sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Any, cast

from llmproxy.batteries.front.accepting import AcceptingServer
from llmproxy.batteries.front.connection import FrontConnection
from llmproxy.batteries.front.forwarded import ForwardedClients
from llmproxy.batteries.front.networks import Networks
from llmproxy.batteries.settings import full
from llmproxy.batteries.tls import Tls, TlsStatus, names_of, problems_of
from llmproxy.config import Config
from llmproxy.errors import ConfigError, Problem
from llmproxy.runtime import LiveConfig
from llmproxy.server import BACKLOG, Listen, MakeConnection
from llmproxy.server.connection import ServerConnection

# How long a client may take to say that it closes, too: those that pool connections never do.
TLS_SHUTDOWN_S = 2.0


class Front:
    """The front of one process. `on_hangup`: what is awaited at each SIGHUP; it is added to."""

    def __init__(self, on_hangup: list[Callable[[], Awaitable[None]]] | None = None) -> None:
        self._on_hangup = on_hangup
        self._tls: Tls | None = None
        self._balancers = Networks(())
        self._forwarded: ForwardedClients | None = None
        self._header_s = 60.0

    def check(self, config: Config, *, file: str) -> None:
        """Raise ConfigError, naming the file, for certificates that cannot be served."""
        tls = full(config.general_settings).tls
        if tls is None:
            return
        problems = [
            Problem(
                file, 0, f"general_settings.tls.{wrong.key}: {wrong.found}", wrong.remedy,
                ("general_settings", "tls", wrong.key),
            )
            for wrong in problems_of(tls)
        ]  # fmt: skip
        if problems:
            raise ConfigError(problems)

    def tls_status(self) -> TlsStatus | None:
        """The certificate that is served; None without TLS."""
        return None if self._tls is None else self._tls.status

    @asynccontextmanager
    async def open(self, live: LiveConfig) -> AsyncIterator[Listen]:
        """Yield what accepts connections."""
        settings = full(live.runtime.config.general_settings)
        if settings.tls is not None:
            self._tls = Tls(settings.tls)
            if self._on_hangup is not None:
                self._on_hangup.append(self._tls.load_again)
        self._balancers = Networks(settings.proxy_protocol)
        self._header_s = settings.timeouts.header_s
        self._adopt(live)
        live.on_change.append(lambda: self._adopt(live))
        watched = settings.reload_on_change
        async with nullcontext() if self._tls is None else self._tls.renewed(watched=watched):
            yield self._listen

    def _adopt(self, live: LiveConfig) -> None:
        """Trust the proxies of another config."""
        settings = full(live.runtime.config.general_settings)
        trusted = Networks(settings.forwarded_allow_ips)
        self._forwarded = (
            ForwardedClients(trusted, settings.forwarded_header) if trusted.listed else None
        )

    async def _listen(self, make: MakeConnection, listening: socket.socket) -> asyncio.Server:
        options: dict[str, Any] = {}
        if self._tls is not None:
            options = {
                "ssl": self._tls.context,
                "ssl_handshake_timeout": self._header_s,
                "ssl_shutdown_timeout": TLS_SHUTDOWN_S,
            }
        if self._balancers.listed:
            accepting = AcceptingServer(
                listening, self._balancers, lambda: self._front_connection(make), options
            )
            return cast("asyncio.Server", accepting)
        is_unix = listening.family == socket.AF_UNIX
        return await asyncio.get_running_loop().create_server(
            lambda: self._connection(make, is_unix=is_unix),
            sock=listening,
            backlog=BACKLOG,
            **options,
        )

    def _connection(self, make: MakeConnection, *, is_unix: bool) -> ServerConnection:
        """Return the protocol of a connection: the core's own where nothing is to be found out."""
        if is_unix or self._forwarded is not None or self._names_clients:
            return self._front_connection(make)
        return make(ServerConnection)

    def _front_connection(self, make: MakeConnection) -> FrontConnection:
        connection = cast("FrontConnection", make(FrontConnection))
        connection.names_of = names_of if self._names_clients else None
        connection.forwarded = self._forwarded
        return connection

    @property
    def _names_clients(self) -> bool:
        return self._tls is not None and self._tls.settings.client_ca is not None
