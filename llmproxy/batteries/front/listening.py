"""Accepts connections as the config says: with TLS, from load balancers, through UNIX sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from typing import NamedTuple, cast

from llmproxy.batteries.front.accepting import AcceptingServer
from llmproxy.batteries.front.beginning import Beginning
from llmproxy.batteries.front.connection import FrontConnection
from llmproxy.batteries.front.failures import Failures
from llmproxy.batteries.front.forwarded import ForwardedClients
from llmproxy.batteries.front.networks import Networks
from llmproxy.batteries.settings import full
from llmproxy.batteries.tls import Tls, TlsStatus, names_of, problems_of
from llmproxy.config import Config
from llmproxy.errors import ConfigError, Problem
from llmproxy.runtime import LiveConfig
from llmproxy.server import BACKLOG, Listen, MakeConnection
from llmproxy.server.connection import ServerConnection


class FrontStatus(NamedTuple):
    """How connections are accepted. `certificate`: what is served; None without TLS. `failed`:
    connections that ended before their first request, by the reason."""

    certificate: TlsStatus | None
    failed: Mapping[str, int]


class Front:
    """The front of one process. `on_hangup`: what is awaited at each SIGHUP; it is added to."""

    def __init__(self, on_hangup: list[Callable[[], Awaitable[None]]] | None = None) -> None:
        self._on_hangup = on_hangup
        self._tls: Tls | None = None
        self._balancers = Networks(())
        self._forwarded: ForwardedClients | None = None
        self._failures = Failures()

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

    def status(self) -> FrontStatus:
        """Return how connections are accepted."""
        certificate = None if self._tls is None else self._tls.status
        return FrontStatus(certificate, self._failures.counts)

    @asynccontextmanager
    async def open(self, live: LiveConfig) -> AsyncIterator[Listen]:
        """Yield what accepts connections."""
        settings = full(live.runtime.config.general_settings)
        if settings.tls is not None:
            self._tls = Tls(settings.tls, handshake_s=settings.timeouts.header_s)
            if self._on_hangup is not None:
                self._on_hangup.append(self._tls.load_again)
        self._balancers = Networks(settings.proxy_protocol)
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
        is_unix = listening.family == socket.AF_UNIX
        if self._tls is not None or self._balancers.listed:
            beginning = Beginning(
                lambda: self._connection(make, is_unix=is_unix),
                self._balancers,
                self._failures,
                self._tls,
            )
            return cast("asyncio.Server", AcceptingServer(listening, beginning.run))
        return await asyncio.get_running_loop().create_server(
            lambda: self._connection(make, is_unix=is_unix), sock=listening, backlog=BACKLOG
        )

    def _connection(self, make: MakeConnection, *, is_unix: bool) -> ServerConnection:
        """Return the protocol of a connection: the core's own where nothing is to be found out."""
        if not (is_unix or self._forwarded or self._names_clients or self._balancers.listed):
            return make(ServerConnection)
        connection = cast("FrontConnection", make(FrontConnection))
        connection.names_of = names_of if self._names_clients else None
        connection.forwarded = self._forwarded
        return connection

    @property
    def _names_clients(self) -> bool:
        return self._tls is not None and self._tls.settings.client_ca is not None
