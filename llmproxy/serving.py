"""From a Config to a running proxy: socket, runtime, app, server; and what a person sees of it.

What goes to stdout is the access log; everything else that people read goes to stderr.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import uvloop

import llmproxy
from llmproxy.admin import WorkerSlot, open_admin
from llmproxy.app import App
from llmproxy.config import Config, GeneralSettings, parse_config
from llmproxy.errors import ConfigError, Problem
from llmproxy.events import Listener, Listeners
from llmproxy.runtime import LiveConfig, open_live_config
from llmproxy.runtime.config_file import ConfigFile
from llmproxy.runtime.triggers import reload_triggers
from llmproxy.server import make_server
from llmproxy.telemetry.access_log import AccessLog, write_to
from llmproxy.telemetry.recorder import MetricsRecorder
from llmproxy.telemetry.tracing.opening import traced

if TYPE_CHECKING:
    from llmproxy.telemetry.call_file import CallFile

BACKLOG = 4096


class CannotListenError(Exception):
    """The address is not ours to listen on."""


def serve(
    config: Config,
    file: ConfigFile | None,
    host: str | None,
    port: int | None,
    environ: Mapping[str, str],
) -> int:
    """Serve a config until a signal ends it; returns the exit status.

    `file`: where it came from; None = from the environment.
    """
    announced = announcement(config, source_of(file))

    async def run() -> None:
        await _serve(config, address_of(config, host, port), environ, announced, file)

    return _run(run)


def serve_demo(
    host: str | None, port: int | None, environ: Mapping[str, str], *, asked_for: bool
) -> int:
    """Serve simulated endpoints until a signal ends it; returns the exit status.

    `asked_for`: by `llmproxy demo`, and not for want of a config.
    """
    from llmproxy.tools.simulator.demo import demo_fleet  # noqa: PLC0415 - only the demo needs it

    async def run() -> None:
        async with demo_fleet() as fleet:
            config = parse_config(fleet.config_yaml, environ, file="the demo")
            reason = "" if asked_for else NOTHING_FOUND
            announced = DEMO_ANNOUNCEMENT.replace("{reason}", reason)
            await _serve(config, address_of(config, host, port), environ, announced)

    return _run(run)


async def serve_on(
    listening: socket.socket,
    config: Config,
    environ: Mapping[str, str],
    *,
    write: Callable[[bytes], object],
    on_started: Callable[[], None],
    file: ConfigFile | None = None,
    worker: WorkerSlot | None = None,
    on_live: Callable[[LiveConfig], None] | None = None,
) -> None:
    """Serve a config on a socket until a signal ends it; then the socket is closed.

    `write` gets whole lines of the access log. `on_started` is called when calls are accepted and
    signals are heard, `on_live` before that. `file`: where the config came from. `worker`: its
    slots in shared memory, if there are several workers.
    """
    settings = config.general_settings
    human = settings.log_format == "text" or (settings.log_format == "auto" and sys.stdout.isatty())
    log = AccessLog(write, human=human, calls=settings.access_log, steps=settings.log_steps)
    try:
        async with open_app(config, environ=environ, listener=log, worker=worker, file=file) as app:
            if on_live is not None:
                on_live(app.live)
            async with reload_triggers(app.live):
                # What exists now lives as long as the process: the collector need not look at it.
                gc.collect()
                gc.freeze()
                await make_server(app, on_started=on_started).serve([listening])
    finally:
        listening.close()
        log.close()


class Recorded(NamedTuple):
    """What the admin API shows of calls: counters and the latest calls, and the file of calls."""

    recorder: MetricsRecorder
    call_file: CallFile | None


@asynccontextmanager
async def open_app(
    config: Config,
    *,
    environ: Mapping[str, str],
    listener: Listener,
    file: ConfigFile | None = None,
    worker: WorkerSlot | None = None,
) -> AsyncIterator[App]:
    """A whole proxy but for its socket, and for the signals that it heeds."""
    recorder = MetricsRecorder()
    with keeping_calls(config.general_settings) as kept, traced(config) as tracer:
        others = [each for each in (kept, tracer) if each is not None]
        told = Listeners(listener, recorder, *others)
        async with open_live_config(config, environ=environ, listener=told, file=file) as live:

            def adopt_prices() -> None:
                recorder.record_pending()
                recorder.prices = live.runtime.prices

            adopt_prices()
            live.on_reload.append(adopt_prices)
            async with open_admin(live, Recorded(recorder, kept), slot=worker) as admin:
                trace_of = tracer.trace_of if tracer else None
                yield App(live, admin, trace_of=trace_of)


@contextmanager
def keeping_calls(settings: GeneralSettings) -> Iterator[CallFile | None]:
    """The file of calls, if one is configured. Raises ConfigError if there can be none."""
    if settings.call_file is None:
        yield None
        return
    from llmproxy.telemetry.call_file import CallFile  # noqa: PLC0415 - seldom wanted

    try:
        kept = CallFile(Path(settings.call_file), keep_s=settings.call_file_keep_s)
    except OSError as error:
        problem = Problem("general_settings.call_file", 0, str(error), "")
        raise ConfigError([problem]) from error
    with closing(kept):
        yield kept


def log_to_stderr(line: str = "%(asctime)s %(levelname)s %(message)s") -> None:
    """Let warnings and errors be seen by people."""
    logging.basicConfig(level=logging.WARNING, format=line, stream=sys.stderr)


def address_of(config: Config, host: str | None, port: int | None) -> tuple[str, int]:
    """Where to listen: what the command line says goes before the config."""
    settings = config.general_settings
    return host or settings.bind_address, settings.bind_port if port is None else port


def bound(host: str, port: int) -> socket.socket:
    """A socket that has the address to itself, and does not listen yet.

    Raises CannotListenError with the remedy.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        remedy = "Write an address of this machine, for example 127.0.0.1."
        if error.errno == errno.EADDRINUSE:
            remedy = "Is another proxy running there? Choose another port with --port."
        elif error.errno == errno.EACCES:
            remedy = "Ports below 1024 need a privilege. Choose another one with --port."
        why = (error.strerror or str(error)).lower()
        raise CannotListenError(f"Cannot listen on {host}:{port}: {why}. {remedy}") from error
    listening.setblocking(False)
    return listening


def source_of(file: ConfigFile | None) -> str:
    """Where a config came from, in words."""
    return "the environment" if file is None else str(file.path)


def announcement(config: Config, source: str) -> str:
    """What to tell when calls are accepted, with places for `version` and `base`."""
    lines = [f"LLMProxy {{version}} on {{base}}, configured by {source}."]
    for group in config.model_groups:
        names = ", ".join(str(entry.name) for entry in group.models)
        lines.append(f"  {group.model_group}: {names}".replace("{", "{{").replace("}", "}}"))
    lines.append("Use it as base_url: {base}/v1    Dashboard: {base}/dashboard    Stop: Ctrl+C")
    return "\n".join(lines)


def filled(announced: str, listening: socket.socket) -> str:
    """An announcement with its places filled."""
    base = "http://{}:{}".format(*listening.getsockname()[:2])
    return announced.format(version=llmproxy.__version__, base=base)


def say(text: str) -> None:
    """Tell something that people read."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is what people read


def _run(run: Callable[[], Awaitable[None]]) -> int:
    log_to_stderr()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())  # type: ignore[arg-type]
    except CannotListenError as error:
        say(str(error))
        return 1
    return 0


async def _serve(
    config: Config,
    address: tuple[str, int],
    environ: Mapping[str, str],
    announced: str,
    file: ConfigFile | None = None,
) -> None:
    listening = bound(*address)
    listening.listen(BACKLOG)
    told = filled(announced, listening)
    write = write_to(sys.stdout.fileno())
    await serve_on(listening, config, environ, write=write, file=file, on_started=lambda: say(told))


DEMO_ANNOUNCEMENT = """\
LLMProxy {version} on {base}: the DEMO.
{reason}Its endpoints are simulated: the answers are made up and cost nothing.

Try it:

curl {base}/v1/chat/completions -H 'content-type: application/json' \\
  -d '{{"model": "gpt-4.1", "messages": [{{"role": "user", "content": "Hello!"}}]}}'

Or from Python (pip install openai):

from openai import OpenAI
client = OpenAI(base_url="{base}/v1", api_key="any")
messages = [{{"role": "user", "content": "Hello!"}}]
for chunk in client.chat.completions.create(model="gpt-4.1", messages=messages, stream=True):
    print(chunk.choices[0].delta.content or "" if chunk.choices else "", end="", flush=True)

See what happens: {base}/dashboard
For real endpoints set OPENAI_API_KEY, or copy llmproxy.example.yaml to llmproxy.yaml. Stop: Ctrl+C
"""
NOTHING_FOUND = "No llmproxy.yaml and no API keys in the environment were found.\n"
