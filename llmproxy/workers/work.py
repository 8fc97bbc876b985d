"""What runs in a worker: the same server as in a single process, tied to its supervisor."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import uvloop

from llmproxy.adapters.access_log import write_lines_to
from llmproxy.adapters.board import Board
from llmproxy.adapters.embedded import EmbeddedServer
from llmproxy.config import Config
from llmproxy.control.overview import Seat
from llmproxy.errors import ConfigError
from llmproxy.serving import say, serve_on
from llmproxy.workers.forking import Lifeline
from llmproxy.workers.inbox import Inbox
from llmproxy.workers.port import Port

logger = logging.getLogger("llmproxy")


@dataclass(frozen=True, slots=True)
class Given:
    """What every worker gets from its supervisor. `server`: the workers' own, if they have one;
    `board`: where their numbers meet."""

    config: Config
    environ: Mapping[str, str]
    port: Port
    inbox: Inbox
    lifeline: Lifeline
    server: EmbeddedServer | None
    board: Board


def work(number: int, listening: socket.socket, given: Given) -> int:
    """Serve calls until a signal comes or the supervisor is gone; returns the exit status.

    Runs in a process of its own. Closes the socket.
    """
    lifeline = given.lifeline.watch()
    given.port.close()
    orphaned = False

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
            given.config,
            given.environ,
            write=write_lines_to(sys.stdout.fileno()),
            on_started=lambda: given.inbox.tell_accepting(number),
            seat=Seat(given.board, number),
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
