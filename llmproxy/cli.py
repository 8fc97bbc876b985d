"""The command line: finds the command, parses its options, and runs it.

Exit status 2: invalid configuration or usage. Only the module of the command that was asked for is
imported, and its work only when it runs, so `llmproxy --help` starts at once.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

import llmproxy
from llmproxy.tools.command_parser import (
    CommandParser,
    Commands,
    add_address,
    add_config,
    similar,
)
from llmproxy.tools.output import wants_colour, with_safe_output

if TYPE_CHECKING:
    from llmproxy.batteries.config_file import ConfigFile
    from llmproxy.batteries.settings import FullConfig
    from llmproxy.errors import ConfigError
    from llmproxy.serving import Batteries

# A worker uses one core. Far above any machine's need, and it fits into a byte (workers/inbox.py).
MAX_WORKERS = 100

DESCRIPTION = """\
One address in front of OpenAI, Azure OpenAI, Anthropic and compatible
endpoints. It speaks the OpenAI API and Anthropic's: an application changes
only its base_url, and its calls are balanced, retried and failed over.
"""
EXAMPLES = (
    "llmproxy demo                         try it, without keys",
    "llmproxy init                         write a first llmproxy.yaml",
    "llmproxy serve                        start the proxy with llmproxy.yaml",
    "llmproxy check --config proxy.yaml    find the mistakes of a config",
    "llmproxy top                          watch a running proxy",
)

OTHERS = "Others"  # the last of the jobs
# Job -> command -> what it does, and the module with its add_commands(commands) and run(options);
# None: in this file.
JOBS: dict[str, dict[str, tuple[str, str | None]]] = {
    "Run": {
        "serve": ("start the proxy", None),
        "demo": (
            "start the proxy in front of simulated endpoints",
            "llmproxy.tools.demo_command",
        ),
    },
    "Write and check a config": {
        "init": ("write a first config, after four questions", "llmproxy.tools.init.options"),
        "import": (
            "write a config from LiteLLM's, Portkey's and others'",
            "llmproxy.tools.import_command",
        ),
        "check": ("check a config file", "llmproxy.tools.check_command"),
        "doctor": (
            "find what is wrong with a config, its servers and endpoints",
            "llmproxy.tools.doctor",
        ),
        "simulate": ("try a config against modelled endpoints", "llmproxy.tools.simulate.options"),
        "schema": ("print the config's JSON Schema", "llmproxy.tools.schema_command"),
    },
    "Ask a running proxy": {
        "top": ("watch a running proxy in the terminal", "llmproxy.tools.top.options"),
        "explain": (
            "show where a call would go now, without sending it",
            "llmproxy.tools.explain_command",
        ),
        "cache": ("show or purge the cache of a running proxy", "llmproxy.tools.cache_command"),
    },
    "Keys and money": {
        "keys": ("make, list, rotate or block the keys of clients", "llmproxy.tools.key_commands"),
        "teams": ("make, list or block teams of keys", "llmproxy.tools.key_commands"),
        "spend": ("show what calls have cost", "llmproxy.tools.spend_command"),
        "db": (
            "upgrade, copy or prune the database of calls and keys",
            "llmproxy.tools.db_command",
        ),
    },
    OTHERS: {
        "completion": (
            "print a script that completes words in your shell",
            "llmproxy.tools.completion.options",
        ),
    },
}
MODULES = {name: module for commands in JOBS.values() for name, (_, module) in commands.items()}
WITHOUT_COMMAND = {"help": "show the help of a command", "version": "print the version"}

SERVE = """\
Start the proxy. The config is --config, else the file that LLMPROXY_CONFIG names, else
llmproxy.yaml or llmproxy.yml in this folder. Without a file, keys in the environment make a proxy
to their vendors: OPENAI_API_KEY, AZURE_OPENAI_API_KEY with AZURE_OPENAI_ENDPOINT, or else the key
of one other vendor, such as ANTHROPIC_API_KEY. Without keys, it does not start."""
SERVE_EXAMPLES = (
    "llmproxy serve",
    "llmproxy serve --config /etc/llmproxy.yaml --workers 4",
    "OPENAI_API_KEY=sk-... llmproxy serve --port 8000",
)
NOTHING_TO_SERVE = """\
There is nothing to serve: no llmproxy.yaml or llmproxy.yml in {folder}, no --config, no
LLMPROXY_CONFIG, and no API key in the environment.
`llmproxy init` writes a config; `llmproxy demo` serves answers that are made up."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status."""
    return with_safe_output(partial(_run, sys.argv[1:] if arguments is None else arguments))


def parser(command: str | None = None) -> CommandParser:
    """Return the parser of the command line: of one command, or of all."""
    top = _CommandLine(prog="llmproxy", description=DESCRIPTION, examples=EXAMPLES)
    top.set_defaults(whole=parser)  # of the completion, which cannot import this file
    top.add_argument("--version", action="version", version=f"llmproxy {llmproxy.__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True, dest="command")
    if command is None:
        for module in dict.fromkeys(MODULES.values()):
            _add(module, commands)
    elif command in MODULES:
        _add(MODULES[command], commands)
    return top


class _CommandLine(CommandParser):
    """The parser of the whole. Its help lists the commands by the job that they do."""

    def format_help(self) -> str:
        return "\n".join([*self._lines(), ""])

    def _lines(self) -> Iterator[str]:
        yield from ("usage: llmproxy COMMAND [OPTIONS]", "", DESCRIPTION)
        width = max(map(len, (*MODULES, *WITHOUT_COMMAND))) + 2
        for job, commands in JOBS.items():
            yield f"{job}:"
            yield from (f"  {name:{width}}{text}" for name, (text, _) in commands.items())
            if job != OTHERS:
                yield ""
        yield from (f"  {name:{width}}{text}" for name, text in WITHOUT_COMMAND.items())
        yield from ("", "examples:", *(f"  {example}" for example in self.examples), "")
        yield "`llmproxy COMMAND --help` explains a command and its options."


def _run(arguments: Sequence[str]) -> int:
    words = list(arguments) or ["--help"]
    match words:
        case ["help", *others]:
            words = [*(word for word in others if not word.startswith("-")), "--help"]
        case ["version", *_]:
            words = ["--version"]
    name = words[0]
    parsed = parser(name)
    if not name.startswith("-") and name not in MODULES:
        parsed.error(_no_such_command(name))
    if name.startswith("--") and name.partition("=")[0] not in parsed.known_options():
        parsed.error(f"{name}: options come after the command, as in `llmproxy serve {name} ...`.")
    return _carried_out(parsed.parse_args(words))


def _add(module: str | None, commands: Commands) -> None:
    if module is None:
        _add_serve(commands)
        return
    found = import_module(module)
    for action in found.add_commands(commands):
        action.set_defaults(run=found.run)


def _no_such_command(word: str) -> str:
    from llmproxy.tools.other_words import WORDS  # noqa: PLC0415 - only after a mistake

    found = f"there is no command {word!r}."
    if word in WORDS:
        return f"{found} {WORDS[word]}"
    meant = similar(word, [*MODULES, *WITHOUT_COMMAND])
    if meant is None and (other := similar(word, list(WORDS))):
        return f"{found} {WORDS[other]}"
    hint = f"Did you mean {meant}?" if meant else f"There are: {', '.join(MODULES)}."
    return f"{found} {hint}"


def _carried_out(options: argparse.Namespace) -> int:
    from llmproxy.errors import ConfigError  # noqa: PLC0415 - a help does not need it

    try:
        status: int = options.run(options)
    except ConfigError as error:
        return _print_problems(error, is_start=options.run is _serve)
    return status


def _add_serve(commands: Commands) -> None:
    serve = commands.add_parser(
        "serve", help="start the proxy", description=SERVE, examples=SERVE_EXAMPLES
    )
    add_config(serve)
    add_address(serve, default="the config's, else ")
    serve.add_argument(
        "--workers",
        type=_workers,
        default=1,
        metavar="N",
        help=f"how many processes serve, 1 to {MAX_WORKERS} (default: 1); several share one view "
        "of limits and failures through redis_url, or through the extra llmproxy-gateway[embedded]",
    )
    serve.add_argument(
        "--or-demo", action="store_true", help="start the demo if there is nothing to serve"
    )
    serve.set_defaults(run=_serve)


def _workers(text: str) -> int:
    """Parse a number of processes."""
    if not text.isdecimal() or not 1 <= int(text) <= MAX_WORKERS:
        raise argparse.ArgumentTypeError(f"expected 1 to {MAX_WORKERS}, found {text!r}")
    return int(text)


def _serve(options: argparse.Namespace) -> int:
    # What a start makes stays: looking for garbage in it only takes time. What serves enables the
    # collector again.
    gc.disable()
    from llmproxy.composition import (  # noqa: PLC0415 - other commands start fast
        config_to_serve,
        start_token,
    )
    from llmproxy.interpreter import this_build  # noqa: PLC0415
    from llmproxy.process import address_of, announcement, serve  # noqa: PLC0415

    # A SIGHUP that comes now waits for the reloader; by default it would end the process.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    config, file = config_to_serve(options.config, os.environ)
    if config is None:
        return _serve_nothing(options)
    if options.workers > 1:
        return _serve_with_workers(config, file, options)
    return serve(
        config,
        address_of(config, options.host, options.port),
        os.environ,
        _batteries(file),
        announce=partial(
            announcement,
            config,
            str(file or "the environment"),
            token=start_token(),
            build=this_build(),
        ),
    )


def _batteries(file: ConfigFile | None) -> Batteries:
    from llmproxy.composition import installed, reloader_of  # noqa: PLC0415

    return installed(log_to=sys.stdout.fileno(), reloader=reloader_of(file))


def _serve_nothing(options: argparse.Namespace) -> int:
    """Start the demo if it was asked for, or say what there should be. Answers that are made up
    must not be served by accident."""
    from llmproxy.tools import demo_command  # noqa: PLC0415

    if options.or_demo and options.workers == 1:
        return demo_command.run(options, asked_for=False)
    print(NOTHING_TO_SERVE.format(folder=os.getcwd()), file=sys.stderr)  # noqa: T201, PTH109
    return 2


def _serve_with_workers(
    config: FullConfig, file: ConfigFile | None, options: argparse.Namespace
) -> int:
    from llmproxy.workers import serve_with_workers  # noqa: PLC0415 - one process needs nothing of it

    address = (options.host, options.port)
    return serve_with_workers(config, file, address, os.environ, count=options.workers)


def _print_problems(error: ConfigError, *, is_start: bool) -> int:
    from llmproxy.batteries.config_file import with_excerpts  # noqa: PLC0415

    text = with_excerpts(error.problems, colour=wants_colour(sys.stderr))
    print(text, file=sys.stderr)  # noqa: T201
    count = len(error.problems)
    ending = "; nothing was started" if is_start else ""
    print(f"{count} problem{'s' * (count > 1)}{ending}.", file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    sys.exit(main())
