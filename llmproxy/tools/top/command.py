"""Run `llmproxy top`: from its options (options.py) to the exit status.

Status 0: the user quit, or `--once` found the proxy ok or degraded. 1: it is down, draining or not
there. 2: it refuses to tell, or the call is wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from time import time
from typing import assert_never

from rich.console import Console

from llmproxy.tools.admin_client import AdminApiError, ProxyAddress, find_address
from llmproxy.tools.top.frame import frame
from llmproxy.tools.top.listening import present
from llmproxy.tools.top.look import Look, glyphs_for
from llmproxy.tools.top.screen import no_such_group, watch
from llmproxy.tools.top.view import Lost, Refused, View

WELL = frozenset({"ok", "degraded"})
PIPE_WIDTH = 160  # of an output that has none; COLUMNS says otherwise


def run(options: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> int:
    """Show the proxy; return the exit status. Raises ConfigError."""
    try:
        address = find_address(options.url, options.config, environ)
        if options.once:
            return _once(address, options.group, environ)
    except AdminApiError as error:
        return _tell(str(error), 2 if error.reached else 1)
    except KeyboardInterrupt:
        return 130
    console = Console()
    if not console.is_terminal or console.is_dumb_terminal:
        return _tell(
            "The output is not a terminal. Use `llmproxy top --once` for a pipe or a file.", 2
        )
    match watch(address, options.group, console):
        case None:
            return 0
        case str(why):
            return _tell(why, 2)
        case Lost(why=why):
            return _tell(why, 1)
        case Refused(why):
            return _tell(why, 2)
        case ended:
            assert_never(ended)


def _once(address: ProxyAddress, group: str | None, environ: Mapping[str, str]) -> int:
    view = View(only=group)
    now = time()
    for heard in present(address, group):
        view = view.after(heard, now)
        if (wrong := no_such_group(view)) is not None:
            return _tell(wrong, 2)
    if sys.stdout.isatty():
        console = Console()
        look = Look(glyphs_for(console.encoding))
        for line in frame(view, now, (console.size.width, None), look):
            console.print(line, no_wrap=True, crop=True, highlight=False)
    else:
        columns = environ.get("COLUMNS", "")
        width = int(columns) if columns.isdecimal() and int(columns) else PIPE_WIDTH
        look = Look(glyphs_for(sys.stdout.encoding))
        for line in frame(view, now, (width, None), look):
            _write(line.plain)
    return 0 if view.status in WELL else 1


def _write(line: str) -> None:
    """Print a line, with a question mark for each character that the output cannot encode."""
    encoding = sys.stdout.encoding
    print(line.rstrip().encode(encoding, "replace").decode(encoding))  # noqa: T201


def _tell(wrong: str, status: int) -> int:
    print(wrong, file=sys.stderr)  # noqa: T201
    return status
