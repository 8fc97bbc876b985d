"""A process that serves: where it listens, its event loop, and what operators read of it.

Operators read stderr; stdout is the access log's.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any

import uvloop

import llmproxy
from llmproxy.batteries.addresses import UNIX, WILDCARDS
from llmproxy.batteries.settings import full
from llmproxy.batteries.systemd import Systemd
from llmproxy.config import Config
from llmproxy.interpreter import PythonBuild, note_of
from llmproxy.rules.authority import authority
from llmproxy.serving import Batteries, serve_on
from llmproxy.sockets import (
    CannotListenError,
    base_of,
    hosts_of,
    is_private,
    sockets_for,
)


def serve(
    config: Config,
    address: tuple[str, int],
    environ: Mapping[str, str],
    batteries: Batteries,
    *,
    announce: Callable[[Sequence[socket.socket]], str],
) -> int:
    """Serve a config until a signal ends it; return the exit status.

    `announce` makes the text that operators read when calls are accepted, from the
    sockets.
    """

    async def run() -> None:
        mode = int(full(config.general_settings).unix_socket_mode, 8)
        with sockets_for(*address, environ, mode=mode) as sockets:
            text, systemd = announce(sockets), Systemd(environ)

            def started() -> None:
                say(text)
                systemd.ready(text.partition("\n")[0])

            await serve_on(sockets, config, environ, batteries, on_started=started)

    return run_to_the_end(run)


def run_to_the_end(run: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run a server in an event loop of its own; return the exit status."""
    log_to_stderr()
    raise_open_files()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())
    except CannotListenError as error:
        say(str(error))
        return 1
    return 0


def raise_open_files() -> int:
    """Raise the soft limit of open files to the hard one; return it.

    Many systems start with 1,024 for the sake of programs that use select(), which fails above.
    That is enough for some 500 calls at once.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # macOS does not take an infinite one
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


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


def open_to_all(config: Config, host: str) -> str | None:
    """Return a warning if other machines may use the endpoints: `host` is not a loopback address,
    and no callers are configured."""
    settings = full(config.general_settings)
    if settings.keys_are_required or settings.is_closed_by_tls or is_private(host):
        return None
    return (
        f"WARNING: {host} is reachable from other machines, and no callers are configured: any "
        "client that reaches this port can spend your keys. Add general_settings.callers, or "
        "listen on 127.0.0.1 (bind_address, --host)."
    )


def announcement(
    config: Config,
    source: str,
    sockets: Sequence[socket.socket],
    *,
    token: str | None,
    build: PythonBuild,
) -> str:
    """Return what operators read when calls are accepted at these sockets.

    `token`: opens `/admin` while nobody has a key for it; None = there is no `/admin`.
    `build`: of the Python that serves.
    """
    tls = full(config.general_settings).tls
    base, hosts = base_of(sockets, scheme="http" if tls is None else "https"), hosts_of(sockets)
    lines = [f"LLMProxy {llmproxy.__version__} on {base}, configured by {source}."]
    for group in config.model_groups:
        names = ", ".join(str(entry.name) for entry in group.models)
        lines.append(f"  {group.model_group}: {names}")
    lines.append(how_to_use(base))
    if others := [host for host in hosts if not _is_in(base, host)]:
        lines.append(f"It also listens on {', '.join(map(_in_words, others))}.")
    if token is not None and full(config.general_settings).admin_is_open:
        lines.append(f"Token for /admin from other machines, until somebody has a key: {token}")
    if note := note_of(build):
        lines.append(note)
    lines += [warning for host in hosts if (warning := open_to_all(config, host))]
    return "\n".join(lines)


def _is_in(base: str, host: str) -> bool:
    """Return whether a base URL is that of an address."""
    return host == base if host.startswith(UNIX) else f"//{authority(host)}:" in base


def _in_words(host: str) -> str:
    return f"every other address of this machine ({host})" if host in WILDCARDS else host


def how_to_use(base: str) -> str:
    """Return how clients reach the proxy. `base`: as `base_of` returns it."""
    if base.startswith(UNIX):
        path = base.removeprefix(UNIX)
        return f"Use it: curl --unix-socket {path} http://localhost/v1/models    Stop: Ctrl+C"
    return f"Use it as base_url: {base}/v1    Dashboard: {base}/dashboard    Stop: Ctrl+C"


def say(text: str) -> None:
    """Write a text for operators to stderr."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is what people read
