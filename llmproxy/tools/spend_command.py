"""`llmproxy spend`: ask a running proxy what calls have cost."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from llmproxy.tools.admin_client import AdminApiError, ask, find_address, open_response
from llmproxy.tools.command_parser import Commands, add_running_proxy

TIMEOUT_S = 30
PAGE = 1000
SHOWN_ROWS = 50
WHERE = ("team", "key", "caller", "model", "group", "endpoint", "tag", "end_user")
LABELS = ("tag", "end_user")  # a call has any number of them
UNKNOWN = "unknown"
EXAMPLES = (
    "llmproxy spend --by model",
    "llmproxy spend --by team,day --since 2026-10 --csv > october.csv",
    "llmproxy spend --by key --team shop",
)


def add_commands(commands: Commands) -> list[argparse.ArgumentParser]:
    """Add the command; return its parser."""
    spend: argparse.ArgumentParser = commands.add_parser(
        "spend",
        help="show what calls have cost",
        description="Show what calls have cost, according to a running proxy. The admin key is "
        "taken from the config, or from the variable LLMPROXY_ADMIN_KEY.",
        examples=EXAMPLES,
    )
    spend.add_argument(
        "--by",
        default="team",
        metavar="NAMES",
        help="what to sum by, with commas: team (default), key, caller, "
        "model, group, endpoint, day, hour, tag, end_user",
    )
    spend.add_argument(
        "--since",
        default="30d",
        metavar="TIME",
        help="12h, 30d (default), 4w, 2026-10, 2026-10-31 or 2026-10-31T12:00, in UTC",
    )
    spend.add_argument("--until", metavar="TIME", help="the end, not included (default: now)")
    for name in WHERE:
        option = f"--{name.replace('_', '-')}"
        text = f"only calls of this {_words(name)}"
        if name == "key":
            text += " that was made at run time (or its id)"
        spend.add_argument(option, metavar="NAME", help=text)
    shape = spend.add_mutually_exclusive_group()
    shape.add_argument("--csv", action="store_true", help="print all rows as CSV")
    shape.add_argument("--json", action="store_true", help="print the proxy's answer")
    add_running_proxy(spend)
    return [spend]


def run(options: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> int:
    """Ask, print the answer, and return the exit status. Raises ConfigError."""
    try:
        address = find_address(options.url, options.config, environ)
        query = _query(options)
        if options.csv:
            path = f"/admin/spend.csv?{query}"
            with open_response(address, path, timeout_s=TIMEOUT_S) as answer:
                # As it came: its lines end as CSV's do.
                sys.stdout.write(answer.read().decode())
            return 0
        limit = PAGE if options.json else SHOWN_ROWS
        path = f"/admin/spend?{query}&limit={limit}"
        found = ask(address, path, timeout_s=TIMEOUT_S)
        while options.json and found["next"] is not None:
            page = ask(address, f"{path}&cursor={found['next']}", timeout_s=TIMEOUT_S)
            found["rows"] += page["rows"]
            found["next"] = page["next"]
    except AdminApiError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    width = shutil.get_terminal_size((80, 24)).columns
    text = json.dumps(found, indent=2, ensure_ascii=False) if options.json else shown(found, width)
    print(text)  # noqa: T201
    return 0


def shown(found: Mapping[str, Any], width: int) -> str:
    """Return an answer as a table whose lines have at most `width` characters."""
    lines = [f"{_moment(found['from'])} to {_moment(found['to'])}", ""]
    total = found["total"]
    if not total["calls"]:
        return "\n".join([lines[0], "No calls."])
    rows = [_with_name_of_key(row, found["key_names"]) for row in found["rows"]]
    lines += _table(found["by"], rows, total, width)
    if found["next"] is not None:
        lines.append(f"... and more rows; --csv and --json print all (the first {SHOWN_ROWS} here)")
    lines += ["", *_notes(found)]
    return "\n".join(lines)


def _table(
    by: Sequence[str], rows: Sequence[Mapping[str, Any]], total: Mapping[str, Any], width: int
) -> Iterator[str]:
    names = [[_words(name) for name in by]]
    names += [[row["keys"][name] or "(none)" for name in by] for row in rows]
    names.append(["total", *[""] * (len(by) - 1)] if by else [])
    figures = [["calls", "input", "output", "cost", "known"]]
    figures += [_figures(sums) for sums in (*rows, total)]
    right = [max(map(len, column)) for column in zip(*figures, strict=True)]
    left = _shares(
        [max(map(len, column)) for column in zip(*names, strict=True)],
        width - sum(right) - 2 * (len(right) + len(by) - 1),
    )
    for cells, numbers in zip(names, figures, strict=True):
        line = [_cut(cell, size).ljust(size) for cell, size in zip(cells, left, strict=True)]
        line += [number.rjust(size) for number, size in zip(numbers, right, strict=True)]
        yield "  ".join(line)


def _with_name_of_key(row: Mapping[str, Any], names: Mapping[str, str]) -> Mapping[str, Any]:
    """Return a row with the name of its key in the place of the id."""
    id = row["keys"].get("key")
    return {**row, "keys": {**row["keys"], "key": names[id]}} if id in names else row


def _shares(wanted: Sequence[int], room: int) -> list[int]:
    """Return widths that fit into the room: the widest column gives way first."""
    widths = list(wanted)
    while sum(widths) > room and max(widths) > 6:
        widths[widths.index(max(widths))] -= 1
    return widths


def _cut(text: str, size: int) -> str:
    # A client's text must not move the cursor.
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= size else f"{text[: size - 1]}…"


def _figures(sums: Mapping[str, Any]) -> list[str]:
    coverage = sums["coverage"]
    return [
        f"{sums['calls']:,}",
        _tokens(sums["input_tokens"]),
        _tokens(sums["output_tokens"]),
        _money(sums["cost_usd"]),
        # Rounded down: 100 % means all.
        "" if coverage is None else f"{int(coverage * 100)} %",
    ]


def _notes(found: Mapping[str, Any]) -> Iterator[str]:
    total, before = found["total"], found["before"]
    if before["calls"]:
        yield f"The period before: {_money(before['cost_usd'])}, {before['calls']:,} calls."
    if total["estimated_usd"] and Decimal(total["estimated_usd"]):
        yield f"Estimated: {_money(total['estimated_usd'])} of the cost."
    if Decimal(total["saved_usd"]):
        yield f"Saved by the answer cache: {_money(total['saved_usd'])}."
    if unknown := total["unknown_calls"]:
        calls = f"{unknown:,} call{'s' * (unknown != 1)}"
        where = "--by endpoint says where."
        if list(found["by"]) == ["endpoint"]:
            where = "Give endpoints below 100 % a price, or see docs/concepts/costs.md."
        yield f"The cost of {calls} is not known. {where}"
    if labels := [_words(name) for name in found["by"] if name in LABELS]:
        yield f"Calls without {' and '.join(labels)} are in the total only."


def _money(usd: str | None) -> str:
    if usd is None:
        return UNKNOWN
    amount = Decimal(usd)
    places = 2 if amount >= 1 or not amount else 6
    return f"${amount:,.{places}f}"


def _tokens(number: int) -> str:
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= 10 * size:
            return f"{number / size:.1f} {unit}"
    return f"{number:,}"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _query(options: argparse.Namespace) -> str:
    names = ("by", "since", "until", *WHERE)
    return urlencode({name: value for name in names if (value := getattr(options, name))})
