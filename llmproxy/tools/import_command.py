"""`llmproxy import`: write our config from another gateway's, or bring its keys."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from llmproxy.tools.command_parser import Commands

if TYPE_CHECKING:
    from llmproxy.tools.importing.importer import Imported

KINDS = ("litellm", "agentgateway", "portkey", "bifrost")
ABOUT = """\
Write an LLMProxy config from LiteLLM's, agentgateway's, Portkey's or Bifrost's: to --output, or to
standard output. The report, on standard error, names every key that was left out or now means
something else, with its line and what to do. With --keys, FILE is the plain text of pg_dump of
LiteLLM's database: its keys and teams are added to our store. Status: 0, everything was carried
over; 1, it was written, but something was left out; 2, nothing was written."""

EXAMPLES = (
    "llmproxy import litellm_config.yaml --output llmproxy.yaml",
    "llmproxy import bifrost.json --from bifrost --json",
)


def add_commands(commands: Commands) -> list[argparse.ArgumentParser]:
    """Add the command; return its parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "import",
        help="write a config from LiteLLM's, Portkey's and others'",
        description=ABOUT,
        examples=EXAMPLES,
    )
    parser.add_argument("file", type=Path, nargs="?", metavar="FILE", help="the other's config")
    parser.add_argument(
        "--from", dest="kind", choices=KINDS, help="whose it is (default: recognised by its keys)"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the config there")
    parser.add_argument("--force", action="store_true", help="replace a file that exists")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing: send sample calls through LiteLLM's own router and through ours, both "
        "in front of simulated endpoints, and print where they went (LITELLM_PYTHON names a Python "
        "that has LiteLLM)",
    )
    parser.add_argument(
        "--keys",
        type=Path,
        metavar="DUMP",
        help="a dump of LiteLLM's database: add its keys and teams to the store",
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="with --keys: our config, which names the store"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="with --keys: say what would be added"
    )
    return [parser]


def run(options: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> int:
    """Import, and return the exit status. Raises ConfigError."""
    if options.keys is not None:
        if options.file is not None:
            print("Name either a config or --keys DUMP.", file=sys.stderr)  # noqa: T201
            return 2
        return _import_keys(options, environ)
    from llmproxy.tools.importing.importer import import_file  # noqa: PLC0415 - `--help` needs none

    if options.file is None:
        print("Name the file to import: llmproxy import config.yaml", file=sys.stderr)  # noqa: T201
        return 2
    if options.check:
        return _compare(options, environ)
    if _is_taken(options.output, force=options.force):
        return 2
    imported = import_file(options.file, environ, kind=options.kind)
    if not _write(imported, options.output):
        return 2
    report = imported.report
    print(report.as_json() if options.json else report.as_text(), file=sys.stderr)  # noqa: T201
    if options.output is not None and not options.json:
        text = f"\nWritten to {options.output}. Next: llmproxy check {options.output}"
        print(text, file=sys.stderr)  # noqa: T201
    return report.status


def _compare(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print where the other gateway and ours send the same calls."""
    from llmproxy.tools.importing.comparing import HOW_TO_GET, litellm_python  # noqa: PLC0415
    from llmproxy.tools.importing.importer import compared_with_litellm, import_file  # noqa: PLC0415
    from llmproxy.tools.progress import progress  # noqa: PLC0415

    kind = import_file(options.file, environ, kind=options.kind).kind
    python = litellm_python(environ)
    if kind != "litellm" or python is None:
        text = f"{kind} has no router that could run beside ours; see `llmproxy explain`."
        print(HOW_TO_GET if kind == "litellm" else text, file=sys.stderr)  # noqa: T201
        return 2
    try:
        with progress("Comparing"):
            text = compared_with_litellm(options.file, python)
    except (RuntimeError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    print(text)  # noqa: T201
    return 1 if "DIFFERS" in text else 0


def _is_taken(output: Path | None, *, force: bool) -> bool:
    """Say whether the output is a file that must not be replaced."""
    if output is None or force or not output.exists():
        return False
    text = f"{output}: this file exists. Name another one, or replace it with --force."
    print(text, file=sys.stderr)  # noqa: T201
    return True


def _write(imported: Imported, output: Path | None) -> bool:
    """Write the config, readable by its owner only if it has a secret in it."""
    from llmproxy.tools.importing.report import ImportOutcome  # noqa: PLC0415

    if output is None:
        print(imported.text, end="")  # noqa: T201
        return True
    mode = 0o600 if imported.report.of(ImportOutcome.IN_THE_CLEAR) else 0o644
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(imported.text)
    except OSError as error:
        print(f"{output}: cannot be written: {error.strerror}.", file=sys.stderr)  # noqa: T201
        return False
    return True


def _import_keys(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    import asyncio  # noqa: PLC0415

    from llmproxy.batteries.config_file import load_config, served_file  # noqa: PLC0415
    from llmproxy.batteries.keys import OrderError  # noqa: PLC0415
    from llmproxy.batteries.store import Database, StoreUnavailable, address_of  # noqa: PLC0415
    from llmproxy.tools.importing.dump import DumpError  # noqa: PLC0415
    from llmproxy.tools.importing.key_import import KeyReport, import_keys  # noqa: PLC0415

    path = served_file(options.config, environ)
    settings = None if path is None else load_config(path, environ).general_settings
    url = None if settings is None else settings.database_url
    address = address_of(None if url is None else url.get_secret_value(), environ)
    if address is None:
        print("There is no database: database_url is off.", file=sys.stderr)  # noqa: T201
        return 2
    taken = frozenset(() if settings is None else (caller.name for caller in settings.callers))

    async def work() -> KeyReport:
        database = Database(address, within_s=60)
        try:
            return await import_keys(options.keys, database, taken=taken, dry=options.dry_run)
        finally:
            await database.close()

    try:
        report = asyncio.run(work())
    except (DumpError, UnicodeDecodeError) as error:
        print(f"{options.keys}: {error}", file=sys.stderr)  # noqa: T201
        return 2
    except OSError as error:
        print(f"{options.keys}: cannot be read: {error.strerror}.", file=sys.stderr)  # noqa: T201
        return 2
    except (OrderError, StoreUnavailable) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    print(report.as_json() if options.json else report.as_text())  # noqa: T201
    return report.status
