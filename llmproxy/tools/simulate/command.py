"""Runs `llmproxy simulate`: reads the files that its options name, simulates, and prints."""

from __future__ import annotations

import argparse
import os
import re
from functools import partial
from pathlib import Path
from random import Random

from llmproxy.batteries.config_file import FILE_NAMES, load_config, served_file
from llmproxy.batteries.strategies import ALL_STRATEGIES
from llmproxy.config import Config
from llmproxy.errors import ConfigError, Problem
from llmproxy.providers import endpoints_of
from llmproxy.routing import Pool
from llmproxy.routing.strategies import Strategy
from llmproxy.runtime import pool_of
from llmproxy.tools.as_caller import pool_for
from llmproxy.tools.progress import progress
from llmproxy.tools.simulate.model import Model, load_model
from llmproxy.tools.simulate.picture import as_svg
from llmproxy.tools.simulate.recorded import read_calls
from llmproxy.tools.simulate.report import as_json, as_text
from llmproxy.tools.simulate.run import simulate, without_affinity
from llmproxy.tools.simulate.traffic import RateStep, Traffic, in_conversations, steady

_REFERENCE = re.compile(r"os\.environ/(\w+)|\$\{(\w+)\}")


def run(options: argparse.Namespace) -> int:
    """Simulate, print the report and return the exit status.

    Raises ConfigError for a mistake in the config, the model, the calls or `--group`.
    """
    file = served_file(options.config, os.environ) or Path(FILE_NAMES[0])
    config = _config(file)
    known = [
        (group, endpoint.name)
        for group, endpoints in endpoints_of(config, file=str(file)).items()
        for endpoint in endpoints
    ]
    model = Model() if options.model is None else load_model(options.model, known)
    traffic = _traffic(options, _names(options, config, file), file)
    conversing = any(arrival.conversation for arrival in traffic.arrivals)
    calls = len(traffic.arrivals) * (2 if conversing else 1)
    with progress("Simulating", calls) as work:
        run_with = partial(
            simulate,
            model=model,
            traffic=traffic,
            seed=options.seed,
            instances=options.instances,
            on_call=work.advance,
        )
        results = run_with(config)
        if conversing:
            results.cached_without_affinity = run_with(without_affinity(config)).cached_share
    print(as_json(results) if options.json else as_text(results))  # noqa: T201 - its output
    if options.plot is not None:
        title = f"{file.name}: {results.calls:,} calls in {results.seconds:,.0f} s"
        options.plot.write_text(as_svg(results, title), encoding="utf-8")
    return 0


def _config(path: Path) -> Config:
    """Load the config. An unset environment variable gets a placeholder: no key is ever used."""
    environ = dict(os.environ)
    if path.is_file():
        for first, second in _REFERENCE.findall(path.read_text(encoding="utf-8", errors="replace")):
            environ.setdefault(first or second, f"{first or second}-is-not-set")
    return load_config(path, environ)


def _names(options: argparse.Namespace, config: Config, file: Path) -> Pool:
    """Return the groups by the names that the caller may use. Their state is not used."""
    pool = pool_of(config, strategies=dict.fromkeys(ALL_STRATEGIES, Strategy()))
    try:
        return pool_for(options.caller, config, pool)
    except LookupError as error:
        problem = Problem(str(file), 0, f"--caller: {error}", "Name another one.")
        raise ConfigError([problem]) from error


def _traffic(options: argparse.Namespace, names: Pool, file: Path) -> Traffic:
    if options.calls is not None:
        return read_calls(options.calls, names, options.tokens)
    groups = list(names.groups)
    if options.group is not None:
        group = names.group_named(options.group)
        if group is None:
            found = f"--group: unknown model group {options.group!r}."
            remedy = f"Use one of: {', '.join(groups)}."
            raise ConfigError([Problem(str(file), 0, found, remedy)])
        groups = [group.name]
    steps = [RateStep(rate, seconds or options.seconds) for rate, seconds in options.rate]
    random = Random(f"{options.seed} traffic")  # noqa: S311 - repeatable, not secret
    traffic = steady(steps, groups, options.tokens, random)
    return traffic if options.turns == 1 else in_conversations(traffic, options.turns, random)
