"""The command line: serve, demo, check, explain, cache, keys, teams, spend, top and others.

Exit status 2: invalid configuration or usage.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import llmproxy
from llmproxy.errors import ConfigError
from llmproxy.tools import db_command, import_command, key_commands, spend_command
from llmproxy.tools.simulate import options as simulate_options
from llmproxy.tools.top import options as top_options

if TYPE_CHECKING:
    from llmproxy.batteries.config_file import ConfigFile
    from llmproxy.batteries.settings import FullConfig
    from llmproxy.serving import Batteries

# A worker uses one core. Far above any machine's need, and it fits into a byte (workers/inbox.py).
MAX_WORKERS = 100

DESCRIPTION = """\
One address in front of OpenAI, Azure OpenAI, Anthropic and compatible endpoints. It speaks the
OpenAI API and Anthropic's: an application changes only its base_url, and its calls are balanced,
retried and failed over.
"""

SERVE = """\
Start the proxy. The config is --config, else the file that LLMPROXY_CONFIG names, else
llmproxy.yaml or llmproxy.yml in this folder. Without a file, keys in the environment make a proxy
to their vendors: OPENAI_API_KEY, AZURE_OPENAI_API_KEY with AZURE_OPENAI_ENDPOINT, or else the key
of one other vendor, such as ANTHROPIC_API_KEY. Without keys, the demo starts."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except ConfigError as error:
        return _print_problems(error, is_start=options.run is _serve)
    except KeyboardInterrupt:
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="llmproxy", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"llmproxy {llmproxy.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    serve = commands.add_parser("serve", help="start the proxy", description=SERVE)
    serve.add_argument("--config", type=Path, metavar="FILE", help="the YAML file to use")
    _add_address(serve)
    serve.add_argument(
        "--workers",
        type=_workers,
        default=1,
        metavar="N",
        help=f"how many processes serve, 1 to {MAX_WORKERS} (default: 1); several share one view "
        "of limits and failures through redis_url, or through the extra llmproxy-gateway[embedded]",
    )
    serve.set_defaults(run=_serve)

    demo = commands.add_parser(
        "demo",
        help="start the proxy in front of simulated endpoints",
        description="Start the proxy in front of simulated endpoints: no keys, no cost.",
    )
    _add_address(demo)
    demo.set_defaults(run=_demo)

    check = commands.add_parser(
        "check",
        help="check a config file",
        description="Check a config file. The status is 0, or 2 with every error as file:line.",
    )
    _add_file(check)
    check.add_argument(
        "--show", action="store_true", help="print the effective config, secrets masked"
    )
    check.add_argument("--json", action="store_true", help="print every error as JSON, for editors")
    check.set_defaults(run=_check)

    _add_explain(commands)
    _add_cache(commands)
    for command in key_commands, spend_command, db_command, import_command:
        for action in command.add_commands(commands):
            action.set_defaults(run=command.run)
    top_options.add_command(commands).set_defaults(run=_top)
    about = "Print the JSON Schema of llmproxy.yaml, for editors."
    schema = commands.add_parser("schema", help="print the config's JSON Schema", description=about)
    schema.set_defaults(run=_schema)
    simulate_options.add_command(commands).set_defaults(run=_simulate)
    return parser


def _add_explain(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    explain = commands.add_parser(
        "explain",
        help="show where a call would go now, without sending it",
        description="Show where a call would go now, without sending it, according to the running "
        "proxy; if none is running, according to the config, for a proxy that has just started.",
    )
    _add_file(explain)
    explain.add_argument("--model", required=True, help="the model that a client would name")
    explain.add_argument(
        "--tokens", type=_count, default=0, metavar="N", help="input tokens plus the output limit"
    )
    explain.add_argument(
        "--caller", metavar="NAME", help="the caller: its aliases, and only its groups"
    )
    explain.add_argument("--url", help="the address of the proxy (default: from its config)")
    explain.set_defaults(run=_explain)


def _add_cache(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    cache = commands.add_parser(
        "cache",
        help="show or purge the cache of a running proxy",
        description="Show what the cache of a running proxy holds and saves, or purge it. The "
        "admin key is taken from the config, or from the variable LLMPROXY_ADMIN_KEY.",
    )
    actions = cache.add_subparsers(metavar="ACTION", required=True, dest="action")
    stats = actions.add_parser(
        "stats",
        help="show hits, misses, savings and size",
        description="Show the hits, misses, savings and size of a running proxy's cache.",
    )
    purge = actions.add_parser(
        "purge",
        help="remove answers: all, or a selection",
        description="Remove answers from a running proxy's cache: all, or those of a group or "
        "above an age.",
    )
    purge.add_argument("--group", metavar="NAME", help="only answers of this model group")
    purge.add_argument(
        "--older", type=_seconds, metavar="AGE", help="only older ones: 90 (s), 30m, 12h, 7d"
    )
    for action in (stats, purge):
        action.add_argument("--config", type=Path, metavar="FILE", help="the proxy's YAML file")
        action.add_argument("--url", help="the address of the proxy (default: from its config)")
        action.set_defaults(run=_cache)


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        type=Path,
        nargs="?",
        metavar="FILE",
        help="the proxy's YAML file (default: llmproxy.yaml)",
    )


def _add_address(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host",
        help="the address to listen on (default: the config's, else 127.0.0.1), or unix:PATH",
    )
    parser.add_argument(
        "--port", type=_port, help="the port to listen on (default: the config's, else 4000)"
    )


def _port(text: str) -> int:
    """Parse a TCP port; 0 = any free one."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"expected 0 to 65535, found {text!r}")
    return int(text)


def _workers(text: str) -> int:
    """Parse a number of processes."""
    if not text.isdecimal() or not 1 <= int(text) <= MAX_WORKERS:
        raise argparse.ArgumentTypeError(f"expected 1 to {MAX_WORKERS}, found {text!r}")
    return int(text)


def _count(text: str) -> int:
    """Parse a number of tokens."""
    if not text.isdecimal() or len(text) > 12:
        raise argparse.ArgumentTypeError(f"expected a number of tokens, found {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    from llmproxy.tools.cache_command import seconds  # noqa: PLC0415

    return seconds(text)


def _serve(options: argparse.Namespace) -> int:
    from llmproxy.composition import (  # noqa: PLC0415 - other commands start fast
        config_to_serve,
        start_token,
    )
    from llmproxy.process import address_of, announcement, serve  # noqa: PLC0415

    # A SIGHUP that comes now waits for the reloader; by default it would end the process.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    config, file = config_to_serve(options.config, os.environ)
    if options.workers > 1:
        return _serve_with_workers(config, file, options)
    if config is None:
        return _serve_demo(options, asked_for=False)
    return serve(
        config,
        address_of(config, options.host, options.port),
        os.environ,
        _batteries(file),
        announce=partial(announcement, config, str(file or "the environment"), token=start_token()),
    )


def _batteries(file: ConfigFile | None = None) -> Batteries:
    from llmproxy.composition import installed, reloader_of  # noqa: PLC0415

    return installed(log_to=sys.stdout.fileno(), reloader=reloader_of(file))


def _serve_with_workers(
    config: FullConfig | None, file: ConfigFile | None, options: argparse.Namespace
) -> int:
    from llmproxy.workers import serve_with_workers  # noqa: PLC0415 - one process needs nothing of it

    if config is None:
        print(  # noqa: T201
            f"--workers {options.workers}: found no config and no keys in the environment, and the "
            "demo is one process. Name a config with --config, or leave --workers out.",
            file=sys.stderr,
        )
        return 2
    address = (options.host, options.port)
    return serve_with_workers(config, file, address, os.environ, count=options.workers)


def _demo(options: argparse.Namespace) -> int:
    return _serve_demo(options, asked_for=True)


def _serve_demo(options: argparse.Namespace, *, asked_for: bool) -> int:
    from llmproxy.tools.demo import serve_demo  # noqa: PLC0415

    return serve_demo(options.host, options.port, os.environ, _batteries(), asked_for=asked_for)


def _check(options: argparse.Namespace) -> int:
    from llmproxy.tools.check_command import run  # noqa: PLC0415

    return run(options)


def _explain(options: argparse.Namespace) -> int:
    from llmproxy.tools.explain_command import run  # noqa: PLC0415

    return run(options)


def _cache(options: argparse.Namespace) -> int:
    from llmproxy.tools.cache_command import run  # noqa: PLC0415

    return run(options)


def _top(options: argparse.Namespace) -> int:
    from llmproxy.tools.top.command import run  # noqa: PLC0415 - rich is slow to import

    return run(options)


def _schema(_: argparse.Namespace) -> int:
    from llmproxy.batteries.config_file import json_schema  # noqa: PLC0415

    print(json.dumps(json_schema(), indent=2))  # noqa: T201
    return 0


def _simulate(options: argparse.Namespace) -> int:
    from llmproxy.tools.simulate.command import run  # noqa: PLC0415 - slow to import

    return run(options)


def _print_problems(error: ConfigError, *, is_start: bool) -> int:
    from llmproxy.batteries.config_file import with_excerpts  # noqa: PLC0415

    colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    print(with_excerpts(error.problems, colour=colour), file=sys.stderr)  # noqa: T201
    count = len(error.problems)
    ending = "; nothing was started" if is_start else ""
    print(f"{count} problem{'s' * (count > 1)}{ending}.", file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    sys.exit(main())
