"""`llmproxy keys` and `llmproxy teams`: ask a running proxy to make, change and list them."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from llmproxy.tools.admin_client import AdminApiError, ProxyAddress, ask, find_address
from llmproxy.tools.command_parser import Commands, add_running_proxy
from llmproxy.tools.top.figures import dollars

TIMEOUT_S = 30
PAGE = 200
LIMITS = ("rpm", "tpm", "concurrent")
CHOICES = ("search", "team", "state")  # of a list
# of each command's help
KEY_EXAMPLES = (
    "llmproxy keys create --name search --team shop --budget 200/month",
    "llmproxy keys list --state active",
    "llmproxy keys rotate search --overlap 2h",
    "llmproxy keys block search",
)
TEAM_EXAMPLES = (
    "llmproxy teams create shop --owner ann@example.com --rpm 600",
    "llmproxy teams change shop --budget 500/month",
    "llmproxy teams list",
)


def add_commands(commands: Commands) -> list[argparse.ArgumentParser]:
    """Add both commands; return the parsers of their actions."""
    keys = _actions(
        commands, "keys", "make, list, rotate or block the keys of clients", KEY_EXAMPLES
    )
    teams = _actions(commands, "teams", "make, list or block teams of keys", TEAM_EXAMPLES)
    actions = [
        *_add_creation(keys, "key"),
        *_add_creation(teams, "team"),
        *_add_others(keys, "KEY", "the key's id or name"),
        *_add_others(teams, "TEAM", "the team's name"),
    ]
    rotate = _action(keys, "rotate", "replace a key; the one before stays valid for a while")
    rotate.add_argument("name", metavar="KEY", help="the key's id or name")
    rotate.add_argument(
        "--overlap", default="24h", metavar="TIME", help="how long both are valid (default: 24h)"
    )
    for action in (*actions, rotate):
        add_running_proxy(action)
        action.add_argument("--json", action="store_true", help="print the proxy's answer")
    return [*actions, rotate]


def _actions(commands: Commands, name: str, text: str, examples: Sequence[str]) -> Commands:
    parser = commands.add_parser(
        name,
        help=text,
        description=f"{text.capitalize()}, in a running proxy. The admin key is taken from the "
        "config, or from the variable LLMPROXY_ADMIN_KEY.",
        examples=examples,
    )
    parser.set_defaults(kind=name)
    return parser.add_subparsers(metavar="ACTION", required=True, dest="action")


def _action(actions: Commands, name: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}."
    )
    return parser


def _add_creation(actions: Commands, what: str) -> Iterator[argparse.ArgumentParser]:
    """Add `create` and `change`."""
    create = _action(actions, "create", f"make a {what}")
    change = _action(actions, "change", f"change a {what}: only what the options name")
    if what == "key":
        create.add_argument("--name", help="its name in logs and metrics (default: made up)")
    else:
        create.add_argument("name", metavar="TEAM", help="its name in logs and metrics")
    change.add_argument("name", metavar=what.upper(), help=f"the {what}'s name, or a key's id")
    for parser in (create, change):
        if what == "key":
            parser.add_argument("--team", help="the team whose limits hold as well")
            parser.add_argument("--expires", metavar="TIME", help="90d, 12h or 2027-01-31")
            parser.add_argument("--tag", action="append", metavar="TAG", dest="tags")
        else:
            parser.add_argument("--member", action="append", metavar="E-MAIL", dest="members")
        parser.add_argument("--owner", help="the person that answers for it")
        parser.add_argument("--note", help="what it is for")
        parser.add_argument(
            *("--models",),
            nargs="+",
            metavar="PATTERN",
            help="the groups and aliases that may be used, such as 'gpt-4.1*' (default: all)",
        )
        parser.add_argument("--rpm", type=int, metavar="N", help="requests in any 60 seconds")
        parser.add_argument("--tpm", type=int, metavar="N", help="tokens in any 60 seconds")
        parser.add_argument("--concurrent", type=int, metavar="N", help="calls at a time")
        parser.add_argument("--budget", help="200/month, 5000000 tokens/day, 50 (in total)")
        yield parser


def _add_others(actions: Commands, name: str, text: str) -> Iterator[argparse.ArgumentParser]:
    listing = _action(actions, "list", "list them")
    listing.add_argument("--search", metavar="TEXT", help="in name, owner, note and prefix")
    if name == "KEY":
        listing.add_argument("--team", help="only this team's")
        listing.add_argument("--state", choices=("active", "blocked", "expired"))
    yield listing
    for action, what in (
        ("show", "show one"),
        ("block", "take one out of use, on all instances within a second"),
        ("unblock", "put one back into use"),
        ("delete", "delete one; what it has spent stays"),
    ):
        parser = _action(actions, action, what)
        parser.add_argument("name", metavar=name, help=text)
        yield parser


def run(options: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> int:
    """Carry out an action, print the result, and return the exit status. Raises ConfigError."""
    try:
        proxy = _Proxy(find_address(options.url, options.config, environ), options.kind)
        answer = _carried_out(options, proxy)
    except AdminApiError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    if options.json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))  # noqa: T201
        return 0
    print(shown(options, answer))  # noqa: T201
    if answer and answer.get("notice"):
        print(answer["notice"], file=sys.stderr)  # noqa: T201
    return 0


class _Proxy:
    """The routes of one kind in a running proxy."""

    def __init__(self, address: ProxyAddress, kind: str) -> None:
        self._address = address
        self._path = f"/admin/{kind}"
        self._kind = kind

    def send(self, method: str, place: str = "", body: object = None) -> Any:
        path = self._path + place
        return ask(self._address, path, timeout_s=TIMEOUT_S, method=method, body=body)

    def pages(self, chosen: Mapping[str, str | None]) -> dict[str, Any]:
        """Return all pages of a list as one."""
        found: list[Any] = []
        query = {name: value for name, value in chosen.items() if value is not None}
        cursor = None
        while True:
            more = {"limit": str(PAGE)} | ({"cursor": cursor} if cursor else {})
            page = self.send("GET", f"?{urlencode({**query, **more})}")
            found += page[self._kind]
            cursor = page["next"]
            if cursor is None:
                return {**page, self._kind: found}

    def place_of(self, name: str) -> str:
        """Return the path of a key, named by its id or name, or of a team."""
        if self._kind == "keys" and not name.startswith("key_"):
            named = [key for key in self.pages({"search": name})["keys"] if key["name"] == name]
            if not named:
                raise AdminApiError(f"There is no key named {name!r}.", reached=True)
            if named[0]["source"] == "config":
                raise AdminApiError(
                    f"{name!r} is a caller of the config file; change it there.", reached=True
                )
            name = named[0]["id"]
        return f"/{quote(name, safe='')}"


def _carried_out(options: argparse.Namespace, proxy: _Proxy) -> Any:
    match options.action:
        case "create":
            return proxy.send("POST", body=_order(options))
        case "change":
            order = _order(options)
            order.pop("name", None)
            if not order:
                raise AdminApiError(
                    f"Nothing to change. Say what, such as --rpm 60; `llmproxy {options.kind} "
                    "change --help` lists the options.",
                    reached=True,
                )
            return proxy.send("PATCH", proxy.place_of(options.name), order)
        case "list":
            chosen = {name: getattr(options, name, None) for name in CHOICES}
            return proxy.pages(chosen)
        case "show":
            return proxy.send("GET", proxy.place_of(options.name))
        case "rotate":
            place = f"{proxy.place_of(options.name)}/rotate"
            return proxy.send("POST", place, {"overlap": options.overlap})
        case "delete":
            proxy.send("DELETE", proxy.place_of(options.name))
            return None
    return proxy.send("POST", f"{proxy.place_of(options.name)}/{options.action}")


def _order(options: argparse.Namespace) -> dict[str, Any]:
    fields = (
        *("name", "team", "owner", "note", "tags", "members", "models", "budget", "expires"),
        *LIMITS,
    )
    given = {name: getattr(options, name, None) for name in fields}
    return {name: value for name, value in given.items() if value is not None}


def shown(options: argparse.Namespace, answer: Any) -> str:
    """Return an answer as readable lines."""
    if answer is None:
        return f"Deleted {options.name}."
    if options.action == "list":
        rows = answer[options.kind]
        if rows:
            return _table(options.kind, rows)
        chosen = any(getattr(options, name, None) for name in CHOICES)
        return f"No {options.kind} fit." if chosen else f"There are no {options.kind} yet."
    lines = []
    if "key" in answer:
        lines = [answer["key"], "", "Keep this key now: it is not shown again."]
    facts = list(_facts(answer))
    width = max((len(name) for name, _ in facts), default=0)
    lines += [f"{name + ':':<{width + 1}} {value}" for name, value in facts]
    return "\n".join(lines)


def _facts(view: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is known of a key or team, without what is not set."""
    for name, value in view.items():
        if name in ("key", "notice") or value in (None, [], ""):
            continue
        if name.endswith("_at") or name.endswith("_until"):
            yield name, _time(value)
        elif name == "limits":
            yield from ((limit, str(value[limit])) for limit in LIMITS if value[limit])
        elif name == "budgets":
            yield name, ", ".join(map(_budget, value))
        elif name == "members":
            yield name, ", ".join(member["person"] for member in value)
        else:
            yield name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _budget(view: Mapping[str, Any]) -> str:
    """Return a budget of a view; what is left is known to a proxy that keeps to it."""
    sign, unit = ("$", "") if view["unit"] == "usd" else ("", f" {view['unit']}")
    per = " in total" if view["per"] == "total" else f"/{view['per']}"
    whole = f"{sign}{view['amount']}{unit}{per}"
    if (left := view.get("left")) is None:
        return whole
    return f"{whole} ({dollars(float(left)) if sign else f'{left}{unit}'} left)"


def _table(kind: str, rows: Sequence[Mapping[str, Any]]) -> str:
    names: tuple[str, ...] = (
        "name",
        "team",
        "state",
        "budgets",
        "last_used_at",
        "expires_at",
        "id",
    )
    if kind == "teams":
        names = ("name", "state", "keys", "budgets", "owner", "source")
    lines = [[name.removesuffix("_at").replace("_", " ") for name in names]]
    for row in rows:
        cells = [(name, row[name]) for name in names]
        lines.append([_cell(name, value) for name, value in cells])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cell(name: str, value: Any) -> str:
    if value is None or value == []:
        return "-"
    if name == "budgets":
        return ", ".join(map(_budget, value))
    return _time(value) if name.endswith("_at") else str(value)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
