"""Runs `llmproxy doctor`, and the live part of `llmproxy check`."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from llmproxy.batteries.price_list import with_list_prices
from llmproxy.batteries.settings import FullConfig
from llmproxy.composition import config_to_serve
from llmproxy.errors import ConfigError, Problem
from llmproxy.providers import endpoints_of
from llmproxy.tools.admin_client import DEFAULT_URL, AdminApiError, ProxyAddress, ask, url_of
from llmproxy.tools.doctor.beside import opened
from llmproxy.tools.doctor.examination import (
    Examined,
    Trial,
    cost_of,
    endpoints_to_examine,
    examine,
    is_asked,
    masked_findings,
)
from llmproxy.tools.doctor.exchanges import CALL_TOKENS
from llmproxy.tools.doctor.findings import DoctorFinding, found
from llmproxy.tools.doctor.machine import machine_findings
from llmproxy.tools.doctor.report import as_json, as_text, exit_status, sorted_findings
from llmproxy.tools.doctor.servers import database_findings, redis_findings
from llmproxy.tools.doctor.settings_checks import config_findings
from llmproxy.tools.doctor.through import (
    KEY_VARIABLE,
    RunningProxy,
    compare_beside,
    compare_running,
)
from llmproxy.tools.output import wants_colour
from llmproxy.tools.progress import progress

HEALTH_S = 2.0
NARROWEST, WIDTH = 24, 110
NOTHING = Problem(
    "config",
    0,
    "there is no config and no key in the environment: nothing to examine.",
    "Name a config with --config, or write one: llmproxy init",
)
BESIDE = "Compared byte by byte with the same calls through a proxy started for that."
RUNNING = "Compared in form with the same calls through the proxy at {url}: {groups}."


class DoctorOptions(msgspec.Struct, frozen=True):
    """What is asked for. `url`: of the running proxy; None = as in the config."""

    live: bool
    model: str | None = None
    url: str | None = None
    timeout_s: float = 30.0
    slow_s: float = 5.0
    workers: int | None = None
    streams: bool = True
    compares: bool = True


class Diagnosis(msgspec.Struct):
    """All that was found, the worst first."""

    findings: list[DoctorFinding]
    endpoints: list[Examined]
    notes: list[str]


def run(options: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> int:
    """Examine a config, print what was found, and return the exit status. Raises ConfigError."""
    try:
        config, file = config_to_serve(options.config, environ)
        if config is None:
            raise ConfigError([NOTHING])
    except ConfigError as error:
        if not options.json:
            raise
        findings = list(map(_of_problem, error.problems))
        print(as_json(findings, [], []))  # noqa: T201
        return exit_status(findings)
    wanted = DoctorOptions(
        live=options.live,
        model=options.model or None,
        url=options.url,
        timeout_s=options.timeout,
        slow_s=options.slow,
        workers=options.workers,
    )
    path = None if file is None else file.path
    diagnosis = asyncio.run(diagnose(config, path, environ, wanted, say=_say))
    print(_report(diagnosis, as_data=options.json))  # noqa: T201
    return exit_status(diagnosis.findings)


def check_live(config: FullConfig, environ: Mapping[str, str]) -> int:
    """Ask each endpoint once whether it takes its key and knows its model; print the answers."""
    wanted = DoctorOptions(live=True, streams=False, compares=False)
    endpoints, notes = asyncio.run(_live(config, environ, wanted, None, say=_say))
    findings = sorted_findings(finding for e in endpoints for finding in e.findings)
    print(_report(Diagnosis(findings, endpoints, notes), as_data=False))  # noqa: T201
    return exit_status(findings)


def _of_problem(problem: Problem) -> DoctorFinding:
    place = f"{problem.file}:{problem.line}" if problem.line else problem.file
    return found("config_unusable", place, why=problem.found, remedy=problem.remedy)


async def diagnose(
    config: FullConfig,
    file: Path | None,
    environ: Mapping[str, str],
    wanted: DoctorOptions,
    *,
    say: Callable[[str], None],
) -> Diagnosis:
    """Return what is wrong with a config and all that it needs. Raises ConfigError."""
    settings = config.general_settings
    with progress("Looking at this machine, Redis and the database"):
        findings = [
            *config_findings(config, with_list_prices(config, endpoints_of(config))),
            *machine_findings(config, file, environ, workers=wanted.workers),
            *await redis_findings(settings),
            *await database_findings(settings, environ),
        ]
    endpoints: list[Examined] = []
    notes = ["No endpoint was asked: --live does that."]
    if wanted.live:
        running = await asyncio.to_thread(_running, config, environ, wanted.url)
        if isinstance(running, DoctorFinding):
            findings.append(running)
            running = None
        endpoints, notes = await _live(config, environ, wanted, running, say=say)
        findings += [finding for examined in endpoints for finding in examined.findings]
    return Diagnosis(sorted_findings(findings), endpoints, notes)


async def _live(
    config: FullConfig,
    environ: Mapping[str, str],
    wanted: DoctorOptions,
    running: RunningProxy | None,
    *,
    say: Callable[[str], None],
) -> tuple[list[Examined], list[str]]:
    """Ask the endpoints, and once more through a proxy; return them, and what was done."""
    async with opened(config, environ) as resources:
        endpoints = endpoints_to_examine(config, resources.endpoints, model=wanted.model)
        calls = 1 + wanted.streams
        number = cost_of(endpoints, calls=calls * (1 + wanted.compares))
        if running is not None:
            number += calls * len({e.endpoint.group for e in endpoints if is_asked(e)})
        tokens = number * CALL_TOKENS
        say(f"--live sends at most {number} small calls, about {tokens:,} tokens in all.")
        asked = sum(examined.same_as is None for examined in endpoints)
        with progress("Asking endpoints", total=asked) as bar:
            client = resources.attempts.client
            trial = Trial(
                client, wanted.timeout_s, wanted.slow_s, wanted.streams, bar.advance, environ
            )
            await examine(endpoints, trial)
        answered = [e for e in endpoints if e.is_answered]
        notes = []
        if wanted.compares and answered:
            notes = [note async for note in _compared(config, environ, answered, trial, running)]
    for examined in endpoints:
        examined.findings = list(masked_findings(examined))
    return endpoints, notes


async def _compared(
    config: FullConfig,
    environ: Mapping[str, str],
    endpoints: list[Examined],
    trial: Trial,
    running: RunningProxy | None,
) -> AsyncIterator[str]:
    """Compare direct calls with calls through proxies; yield what was done."""
    with progress("Asking through a proxy", total=len(endpoints)) as bar:
        await compare_beside(config, endpoints, replace(trial, advance=bar.advance), environ)
    yield BESIDE
    if running is not None:
        with progress("Asking through the running proxy") as bar:
            groups = await compare_running(running, endpoints, replace(trial, advance=bar.advance))
        yield RUNNING.format(url=running.url, groups=", ".join(groups))


def _running(
    config: FullConfig, environ: Mapping[str, str], url: str | None
) -> RunningProxy | DoctorFinding | None:
    """Return the proxy that runs; None if there is none, and a finding if one was named, or if
    there is no key to call it with."""
    address = (url or url_of(config) or DEFAULT_URL).rstrip("/")
    if "@" in address:
        shown = f"{address.partition('//')[0]}//{address.rpartition('@')[2]}"
        return found("no_proxy_answers", shown, why="the address has a user or password in it")
    if not address.startswith("http"):  # the client of endpoints knows no UNIX sockets
        why = "an address that begins with http:// or https:// is needed"
        return None if url is None else found("no_proxy_answers", address, why=why)
    try:
        ask(ProxyAddress(address, None), "/livez", timeout_s=HEALTH_S)
    except AdminApiError as error:
        why = error.brief.rstrip(".")
        return None if url is None else found("no_proxy_answers", address, why=why)
    settings = config.general_settings
    if key := environ.get(KEY_VARIABLE):
        usable = key.isascii() and key.isprintable() and " " not in key
        return RunningProxy(address, key) if usable else found("key_unusable", KEY_VARIABLE)
    keys = [caller.key for caller in settings.callers if caller.key and not caller.groups]
    if keys and keys[0] is not None:
        return RunningProxy(address, keys[0].get_secret_value())
    if settings.keys_are_required:
        return found("no_key_for_proxy", address)
    return RunningProxy(address, None)


def _report(diagnosis: Diagnosis, *, as_data: bool) -> str:
    findings, endpoints, notes = diagnosis.findings, diagnosis.endpoints, diagnosis.notes
    if as_data:
        return as_json(findings, endpoints, notes)
    colour = wants_colour(sys.stdout)
    columns = max(shutil.get_terminal_size((WIDTH, 24)).columns, NARROWEST)
    table_width = columns if sys.stdout.isatty() else None
    width = min(columns, WIDTH)
    return as_text(findings, endpoints, notes, width=width, table_width=table_width, colour=colour)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
