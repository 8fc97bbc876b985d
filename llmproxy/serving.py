"""From a Config to a running proxy: runtime, app, server, and the batteries that are there."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from llmproxy.app import App, Habits, Upgrade
from llmproxy.config import Config, GeneralSettings
from llmproxy.errors import ConfigError, Problem
from llmproxy.events import Listeners
from llmproxy.protocols import ASGIApp, Listener, TelemetryOpener, WebPages
from llmproxy.routing.strategies import WEIGHTED
from llmproxy.runtime import LiveConfig, RuntimeBatteries, open_live_config
from llmproxy.server import listen, make_server

SETTLED_S = 5.0  # after the start: what batteries make late is made

HealthCheckOpener = Callable[[LiveConfig], AbstractAsyncContextManager[None]]
StoreOpener = Callable[[GeneralSettings, Mapping[str, str]], AbstractAsyncContextManager[Listener]]


@dataclass(frozen=True, slots=True)
class Batteries(RuntimeBatteries):
    """What stands around the core; None = not installed. `llmproxy.composition` makes one.

    `open_store` yields what writes finished calls to a database.
    `open_admin` gets the live config and the open telemetry, and yields the admin application.
    `reload` replaces the live config until its block ends; `health_checks` check endpoints that
    get no calls; `warm_connections` keep some open.
    """

    open_store: StoreOpener | None = None
    alerts: Any = None  # `open_store` opens them, too
    oidc: Any = None  # and this; it knows callers by their tokens
    telemetry: TelemetryOpener | None = None
    web_pages: WebPages | None = None
    websockets: Upgrade | None = None
    litellm_habits: Habits | None = None
    open_admin: Callable[[LiveConfig, Any], AbstractAsyncContextManager[ASGIApp]] | None = None
    reload: Callable[[LiveConfig], AbstractAsyncContextManager[None]] | None = None
    health_checks: HealthCheckOpener | None = None
    warm_connections: HealthCheckOpener | None = None
    service_manager: HealthCheckOpener | None = None
    imports: HealthCheckOpener | None = None  # of what later calls need, behind the first ones
    front: Any = None  # its `open` yields what accepts connections

    def check(self, config: Config, *, file: str = "config") -> None:
        """Raise ConfigError for every part that a config needs and that is not installed."""
        missing = [*self._missing_in_settings(config, file), *self._missing_in_groups(config, file)]
        if missing:
            raise ConfigError(missing)
        for battery in (self.credentials, self.budgets, self.oidc, self.front):
            if battery is not None:
                battery.check(config, file=file)

    def _missing_in_settings(self, config: Config, file: str) -> Iterator[Problem]:
        settings = config.general_settings
        strategies = {group.strategy or settings.strategy for group in config.model_groups}
        bounds = {"max_in_flight", "max_queued"}
        affinities = {group.affinity for group in config.model_groups}
        if "affinity" in settings.model_fields_set:
            affinities.add(settings.affinity)
        needs = [
            *settings.needs(),
            *(
                need
                for need, is_set in (
                    (("hedge_after_s", "hedging", "hedging"), settings.hedge_after_s),
                    (("strategy", "strategies", "strategies"), strategies - set(WEIGHTED)),
                    (
                        ("max_in_flight", "admission", "admission"),
                        bounds & settings.model_fields_set,
                    ),
                    (("affinity", "affinity", "affinity"), affinities - {None, "off"}),
                )
                if is_set
            ),
        ]
        for key, package, field in needs:
            if getattr(self, field) is None:
                where = ("general_settings", key)
                yield _missing(file, ".".join(where), package, f"remove {key}", where)

    def _missing_in_groups(self, config: Config, file: str) -> Iterator[Problem]:
        groups = config.model_groups
        entries = [entry for group in groups for entry in group.models]
        if self.fallbacks is None and any(group.all_fallbacks for group in groups):
            yield _missing(file, "fallbacks", "fallbacks", "remove them from the model groups")
        checked = {entry.health_check for entry in entries} - {None, "off"}
        if self.health_checks is None and checked:
            yield _missing(file, "health_check", "health_checks", "remove it from the endpoints")
        if self.parameters is None and any(entry.changes_parameters for entry in entries):
            remedy = "remove them from the endpoints"
            yield _missing(file, "drop, rename, ...", "parameters", remedy)
        drops = {config.general_settings.on_untranslatable, *(g.on_untranslatable for g in groups)}
        if self.translation is None and ("drop" in drops or any(entry.speaks for entry in entries)):
            yield _missing(file, "speaks, on_untranslatable", "translation", "remove them")
        if self.credentials is None and any(entry.params.token_source for entry in entries):
            keys = "azure_ad_token_provider, credentials"
            yield _missing(file, keys, "credentials", "use api_key")


def _missing(
    file: str, keys: str, package: str, remedy: str, where: tuple[str, ...] = ()
) -> Problem:
    found = f"{keys}: this installation has no `llmproxy.batteries.{package}`."
    return Problem(file, 0, found, f"Install the whole of llmproxy, or {remedy}.", where)


async def serve_on(
    sockets: Sequence[socket.socket],
    config: Config,
    environ: Mapping[str, str],
    batteries: Batteries,
    *,
    on_started: Callable[[], None],
) -> None:
    """Serve a config on sockets until a signal ends it; then they are closed.

    `on_started` is called when calls are accepted and signals are handled.
    """
    if batteries.reload is None:  # a SIGHUP ends the process, also one that was held back
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
    try:
        front = batteries.front
        async with (
            open_app(config, environ=environ, batteries=batteries) as app,
            nullcontext(listen) if front is None else front.open(app.live) as accept,
        ):
            # Objects that exist now live as long as the process: the collector need not visit them.
            gc.freeze()
            gc.enable()  # a start disables it
            # Nor those made soon after, such as the languages of translation.
            asyncio.get_running_loop().call_later(SETTLED_S, gc.freeze)
            await make_server(app, on_started=on_started, listen=accept).serve(list(sockets))
    finally:
        for listening in sockets:
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
        if batteries.open_store is not None:
            opening = batteries.open_store(config.general_settings, environ)
            listeners.append(await stack.enter_async_context(opening))
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
        openers = [batteries.health_checks, batteries.warm_connections, batteries.service_manager]
        for opener in (*openers, batteries.imports):
            if opener is not None:
                await stack.enter_async_context(opener(live))
        admin = None
        if batteries.open_admin is not None:
            admin = await stack.enter_async_context(batteries.open_admin(live, telemetry))
        trace_of = None if telemetry is None else telemetry.trace_of
        pages, upgrade, habits = batteries.web_pages, batteries.websockets, batteries.litellm_habits
        yield App(live, admin, web_pages=pages, trace_of=trace_of, upgrade=upgrade, habits=habits)
