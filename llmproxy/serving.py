"""From a Config to a running proxy: socket, runtime, app, server, and the batteries that are there.

Operators read stderr; stdout is the access log's.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import uvloop

import llmproxy
from llmproxy.app import App
from llmproxy.config import Config, shares_state
from llmproxy.config.files import unwritable_files
from llmproxy.errors import ConfigError, Problem
from llmproxy.events import Listeners
from llmproxy.protocols import ASGIApp, Listener, TelemetryOpener, WebPages
from llmproxy.rules.addresses import is_loopback
from llmproxy.runtime import LiveConfig, RuntimeBatteries, open_live_config
from llmproxy.runtime.config_file import ConfigFile
from llmproxy.runtime.process_family import START_TOKEN
from llmproxy.server import make_server

BACKLOG = 4096


class CannotListenError(Exception):
    """The address cannot be listened on. The message names the remedy."""


@dataclass(frozen=True, slots=True)
class Batteries(RuntimeBatteries):
    """What stands around the core; None = not installed. `llmproxy.batteries` makes one.

    `open_admin` gets the live config and the open telemetry, and yields the admin application.
    `reload` replaces the live config until its block ends.
    """

    telemetry: TelemetryOpener | None = None
    web_pages: WebPages | None = None
    open_admin: Callable[[LiveConfig, Any], AbstractAsyncContextManager[ASGIApp]] | None = None
    reload: Callable[[LiveConfig], AbstractAsyncContextManager[None]] | None = None

    def check(self, config: Config, *, file: str = "config") -> None:
        """Raise ConfigError for every part that a config needs and that is not installed."""
        settings = config.general_settings
        missing = [
            Problem(
                file,
                0,
                f"general_settings.{key}: this installation has no `llmproxy.{package}`.",
                f"Install the whole of llmproxy, or remove {key}.",
                ("general_settings", key),
            )
            for key, package, battery, is_set in (
                ("callers", "callers", self.callers, settings.callers),
                ("cache", "cache", self.caches, settings.cache),
                ("redis_*", "shared_state", self.connector, shares_state(settings)),
                ("call_file", "telemetry", self.telemetry, settings.call_file),
                ("tracing", "telemetry", self.telemetry, settings.tracing),
                ("allowed_origins", "web_pages", self.web_pages, settings.allowed_origins),
                ("allowed_hosts", "web_pages", self.web_pages, settings.allowed_hosts),
                ("admin_key", "admin", self.open_admin, settings.admin_key),
            )
            if is_set and battery is None
        ]
        if self.credentials is None and any(
            entry.params.azure_ad_token_provider
            for group in config.model_groups
            for entry in group.models
        ):
            found = "azure_ad_token_provider: this installation has no `llmproxy.entra`."
            remedy = "Install the whole of llmproxy, or use api_key."
            missing.append(Problem(file, 0, found, remedy))
        missing += unwritable_files(settings, file)
        if missing:
            raise ConfigError(missing)
        if self.telemetry is not None:
            self.telemetry.check(config, file=file)


def serve(
    config: Config,
    address: tuple[str, int],
    environ: Mapping[str, str],
    batteries: Batteries,
    *,
    announce: Callable[[str], str],
) -> int:
    """Serve a config until a signal ends it; return the exit status.

    `announce` makes the text that operators read when calls are accepted, from the base URL.
    """

    async def run() -> None:
        listening = bound(*address)
        listening.listen(BACKLOG)
        text = announce(base_of(listening))
        await serve_on(listening, config, environ, batteries, on_started=lambda: say(text))

    return run_to_the_end(run)


def run_to_the_end(run: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run a server in an event loop of its own; return the exit status."""
    log_to_stderr()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())
    except CannotListenError as error:
        say(str(error))
        return 1
    return 0


async def serve_on(
    listening: socket.socket,
    config: Config,
    environ: Mapping[str, str],
    batteries: Batteries,
    *,
    on_started: Callable[[], None],
) -> None:
    """Serve a config on a socket until a signal ends it; then the socket is closed.

    `on_started` is called when calls are accepted and signals are handled.
    """
    if batteries.reload is None:  # a SIGHUP ends the process, also one that was held back
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
    try:
        async with open_app(config, environ=environ, batteries=batteries) as app:
            # What exists now lives as long as the process: spare the collector the look at it.
            gc.collect()
            gc.freeze()
            await make_server(app, on_started=on_started).serve([listening])
    finally:
        listening.close()


@asynccontextmanager
async def open_app(
    config: Config,
    *,
    environ: Mapping[str, str],
    batteries: Batteries,
    listener: Listener | None = None,
) -> AsyncIterator[App]:
    """Open a whole proxy, without a socket and signal handlers. Raises ConfigError.

    `listener`: receives every event, before those of the telemetry.
    """
    batteries.check(config)
    listeners = [] if listener is None else [listener]
    async with AsyncExitStack() as stack:
        telemetry = None
        if batteries.telemetry is not None:
            telemetry = stack.enter_context(batteries.telemetry.open(config))
            listeners.append(telemetry.listener)
        live = await stack.enter_async_context(
            open_live_config(
                config, environ=environ, listener=Listeners(*listeners), batteries=batteries
            )
        )
        if telemetry is not None:
            telemetry.install(live.runtime.resources.prices)
            live.on_change.append(lambda: telemetry.install(live.runtime.resources.prices))
        if batteries.reload is not None:
            await stack.enter_async_context(batteries.reload(live))
        admin = None
        if batteries.open_admin is not None:
            admin = await stack.enter_async_context(batteries.open_admin(live, telemetry))
        trace_of = None if telemetry is None else telemetry.trace_of
        yield App(live, admin, web_pages=batteries.web_pages, trace_of=trace_of)


def log_to_stderr(line: str = "%(asctime)s %(levelname)s %(message)s") -> None:
    """Write warnings and errors to stderr."""
    logging.basicConfig(level=logging.WARNING, format=line, stream=sys.stderr)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(TerminalFormatter(line))


class TerminalFormatter(logging.Formatter):
    """Formats lines without control characters, which a terminal would obey."""

    # C0 but tab and newline, DEL, and C1
    _CONTROLS = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)], "?")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        return super().format(record).translate(self._CONTROLS)


def address_of(config: Config, host: str | None, port: int | None) -> tuple[str, int]:
    """Return where to listen: the command line takes precedence over the config."""
    settings = config.general_settings
    return host or settings.bind_address, settings.bind_port if port is None else port


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address and does not listen yet.

    Raises CannotListenError with the remedy.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        remedy = "Use an address of this machine, for example 127.0.0.1."
        if error.errno == errno.EADDRINUSE:
            remedy = "Is another proxy running there? Choose another port with --port."
        elif error.errno == errno.EACCES:
            remedy = "Ports below 1024 need a privilege. Choose another port with --port."
        why = (error.strerror or str(error)).lower()
        raise CannotListenError(f"Cannot listen on {host}:{port}: {why}. {remedy}") from error
    listening.setblocking(False)
    return listening


def base_of(listening: socket.socket) -> str:
    """Return the base URL of a bound socket, without a path."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def source_of(file: ConfigFile | None) -> str:
    """Return where a config came from, in words."""
    return "the environment" if file is None else str(file.path)


def open_to_all(config: Config, host: str) -> str | None:
    """Return a warning if other machines may use the endpoints: `host` is not a loopback address,
    and no callers are configured."""
    if config.general_settings.callers or _is_private(host):
        return None
    return (
        f"WARNING: {host} is reachable from other machines, and no callers are configured: any "
        "client that reaches this port can spend your keys. Add general_settings.callers, or "
        "listen on 127.0.0.1 (bind_address, --host)."
    )


def _is_private(host: str) -> bool:
    """Return whether an address or name to listen on is reachable from this machine only."""
    name = host.lower()
    is_local_name = name.rstrip(".") == "localhost" or name.endswith(".localhost")
    return is_local_name or is_loopback(host.strip("[]"))


def announcement(config: Config, source: str, base: str) -> str:
    """Return what operators read when calls are accepted."""
    lines = [f"LLMProxy {llmproxy.__version__} on {base}, configured by {source}."]
    for group in config.model_groups:
        names = ", ".join(str(entry.name) for entry in group.models)
        lines.append(f"  {group.model_group}: {names}")
    lines.append(f"Use it as base_url: {base}/v1    Dashboard: {base}/dashboard    Stop: Ctrl+C")
    if config.general_settings.admin_key is None:
        lines.append(f"Token for /admin from elsewhere, until admin_key is set: {START_TOKEN}")
    if warning := open_to_all(config, urlsplit(base).hostname or ""):
        lines.append(warning)
    return "\n".join(lines)


def say(text: str) -> None:
    """Write a text for operators to stderr."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is what people read
