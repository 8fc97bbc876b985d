"""What runs in a worker: the same server as in a single process, tied to its supervisor."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import uvloop

from llmproxy.admin.stats.collector import WorkerSlot
from llmproxy.config import Config, kept_until_restart
from llmproxy.errors import ConfigError
from llmproxy.runtime import LiveConfig
from llmproxy.runtime.config_file import ConfigFile
from llmproxy.serving import say, serve_on
from llmproxy.shared_state.embedded import EmbeddedServer
from llmproxy.telemetry.access_log import write_lines_to
from llmproxy.telemetry.board import Board
from llmproxy.workers.forking import Lifeline
from llmproxy.workers.inbox import Inbox
from llmproxy.workers.last_good import Good, LastGood
from llmproxy.workers.port import Port

logger = logging.getLogger("llmproxy")


@dataclass(frozen=True, slots=True)
class Given:
    """What every worker gets from its supervisor. `file`: where the config came from, if it is one;
    `server`: the workers' own, if they have one; `board`: where their numbers meet; `good`: what
    they have read of the file since the start."""

    config: Config
    environ: Mapping[str, str]
    file: ConfigFile | None
    supervisor: int
    port: Port
    inbox: Inbox
    lifeline: Lifeline
    server: EmbeddedServer | None
    board: Board
    good: LastGood


def work(number: int, listening: socket.socket, given: Given) -> int:
    """Serve calls until a signal comes or the supervisor is gone; returns the exit status.

    Runs in a process of its own. Closes the socket.
    """
    lifeline = given.lifeline.watch()
    given.port.close()
    orphaned = False
    config, good = served_last(given)

    def finish() -> None:
        nonlocal orphaned
        orphaned = True
        asyncio.get_running_loop().remove_reader(lifeline)
        logger.error("The supervisor is gone. This worker completes its calls and ends.")
        signal.raise_signal(signal.SIGTERM)

    async def run() -> None:
        asyncio.get_running_loop().add_reader(lifeline, finish)
        await serve_on(
            listening,
            config,
            given.environ,
            write=write_lines_to(sys.stdout.fileno()),
            on_started=lambda: given.inbox.tell_accepting(number),
            file=given.file,
            seat=WorkerSlot(given.board, number),
            on_live=lambda live: agree(live, good, number, given),
        )

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())
    except ConfigError as error:
        say(str(error))
        return 2
    if orphaned and given.server is not None:
        given.server.clear_away()
    return 0


def served_last(given: Given) -> tuple[Config, Good | None]:
    """What the other workers serve, and what is known of it; None: nothing new since the start."""
    good = given.good.newest()
    if good is None or given.file is None:
        return given.config, None
    try:
        config = given.file.parsed(good.text)
    except ConfigError as error:  # another worker could use it
        logger.error("The config that is served cannot be used here:\n%s", error)
        return given.config, None
    return kept_until_restart(given.config, config)[0], good


def agree(live: LiveConfig, good: Good | None, number: int, given: Given) -> None:
    """Go on from what the workers know of the file, and let them know what comes of it here."""
    if good is not None:
        live.text, live.seen, live.loaded = good.text, good.seen, good.loaded

    def note() -> None:
        given.good.write(number, Good(live.text, live.seen, live.loaded))

    def tell_supervisor() -> None:
        if os.getppid() == given.supervisor:  # it is not gone
            os.kill(given.supervisor, signal.SIGHUP)

    live.on_reload.append(note)
    live.tell_others = tell_supervisor
