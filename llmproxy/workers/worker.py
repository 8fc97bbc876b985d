"""The worker process: the same server as in a single process, tied to its supervisor."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import uvloop

from llmproxy.batteries.admin import WorkerSlot
from llmproxy.batteries.config_file import ConfigFile
from llmproxy.batteries.reload import Reloader, kept_until_restart, on_signal_or_file_change
from llmproxy.batteries.shared_state.embedded import EmbeddedServer
from llmproxy.batteries.telemetry.shared_memory import SharedMemory
from llmproxy.composition import installed
from llmproxy.config import Config
from llmproxy.errors import ConfigError
from llmproxy.process import say
from llmproxy.serving import serve_on
from llmproxy.workers.forking import Lifeline
from llmproxy.workers.inbox import Inbox
from llmproxy.workers.last_good import GoodConfig, LastGoodConfig
from llmproxy.workers.listen_address import ListenAddress

logger = logging.getLogger("llmproxy")


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What a worker gets from its supervisor.

    `file`: the file of the config, if there is one. `supervisor`: its process id. `server`: the
    embedded server, if there is one. `memory`: shared memory for the counters of all workers.
    `good`: the last valid config.
    """

    config: Config
    environ: Mapping[str, str]
    file: ConfigFile | None
    supervisor: int
    port: ListenAddress
    inbox: Inbox
    lifeline: Lifeline
    server: EmbeddedServer | None
    memory: SharedMemory
    good: LastGoodConfig


def run_worker(number: int, sockets: Sequence[socket.socket], context: WorkerContext) -> int:
    """Serve calls until a signal arrives or the supervisor is gone; return the exit status.

    Closes the sockets.
    """
    lifeline = context.lifeline.watch()
    context.port.close()
    orphaned = False
    config, good = latest_good_config(context)

    def finish() -> None:
        nonlocal orphaned
        orphaned = True
        asyncio.get_running_loop().remove_reader(lifeline)
        logger.error("The supervisor is gone. This worker finishes its calls and exits.")
        signal.raise_signal(signal.SIGTERM)

    batteries = installed(
        log_to=sys.stdout.fileno(),
        slot=WorkerSlot(context.memory, number),
        reloader=reloader_of(good, number, context),
    )

    async def run() -> None:
        asyncio.get_running_loop().add_reader(lifeline, finish)
        await serve_on(
            sockets,
            config,
            context.environ,
            batteries,
            on_started=lambda: context.inbox.report_accepting(number),
        )

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())
    except ConfigError as error:
        say(str(error))
        return 2
    if orphaned and context.server is not None:
        context.server.clear_away()
    return 0


def latest_good_config(context: WorkerContext) -> tuple[Config, GoodConfig | None]:
    """Return the config that the other workers serve, and its source; None if it has not
    changed."""
    good = context.good.newest()
    if good is None or context.file is None:
        return context.config, None
    try:
        config = context.file.parsed(good.text)
    except ConfigError as error:  # valid in another worker, but not here
        logger.error("The config that the other workers serve is not valid in this one:\n%s", error)
        return context.config, None
    return kept_until_restart(context.config, config)[0], good


def reloader_of(good: GoodConfig | None, number: int, context: WorkerContext) -> Reloader | None:
    """Return a reloader that starts from the workers' common config state, and publishes every
    later change; None without a file."""
    file = context.file
    if file is None:
        return None

    def tell_supervisor() -> None:
        if os.getppid() == context.supervisor:  # it is still alive
            os.kill(context.supervisor, signal.SIGHUP)

    reloader = Reloader(file, on_signal_or_file_change, tell_others=tell_supervisor)
    if good is not None:
        reloader.loaded = good.loaded
        file.served, file.seen = good.text, good.seen

    def note() -> None:
        context.good.write(number, GoodConfig(file.served, file.seen, reloader.loaded))

    reloader.on_reload.append(note)
    return reloader
