"""A process that serves: where it listens, its event loop, and what operators read of it.

Operators read stderr; stdout is the access log's.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any
from urllib.parse import urlsplit

import uvloop

import llmproxy
from llmproxy.batteries.addresses import is_loopback
from llmproxy.batteries.settings import full
from llmproxy.config import Config
from llmproxy.serving import Batteries, serve_on

BACKLOG = 4096


class CannotListenError(Exception):
    """The address cannot be listened on. The message names the remedy."""


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


def open_to_all(config: Config, host: str) -> str | None:
    """Return a warning if other machines may use the endpoints: `host` is not a loopback address,
    and no callers are configured."""
    settings = full(config.general_settings)
    if settings.keys_are_required or _is_private(host):
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


def announcement(config: Config, source: str, base: str, *, token: str | None) -> str:
    """Return what operators read when calls are accepted.

    `token`: opens `/admin` while nobody has a key for it; None = there is no `/admin`.
    """
    lines = [f"LLMProxy {llmproxy.__version__} on {base}, configured by {source}."]
    for group in config.model_groups:
        names = ", ".join(str(entry.name) for entry in group.models)
        lines.append(f"  {group.model_group}: {names}")
    lines.append(f"Use it as base_url: {base}/v1    Dashboard: {base}/dashboard    Stop: Ctrl+C")
    if token is not None and full(config.general_settings).admin_is_open:
        lines.append(f"Token for /admin from other machines, until somebody has a key: {token}")
    if warning := open_to_all(config, urlsplit(base).hostname or ""):
        lines.append(warning)
    return "\n".join(lines)


def say(text: str) -> None:
    """Write a text for operators to stderr."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is what people read
