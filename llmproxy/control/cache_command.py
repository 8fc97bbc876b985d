"""`llmproxy cache`: asks a running proxy what its cache holds, or tells it to forget."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

from llmproxy.config import Config, load_config

KEY_VARIABLE = "LLMPROXY_ADMIN_KEY"
DEFAULT_URL = "http://127.0.0.1:4000"
TIMEOUT_S = 70  # a purge of a large store takes its time
_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


class CannotAskError(Exception):
    """The proxy cannot be asked, or refuses; the text says what to do."""


def seconds(text: str) -> float:
    """A duration such as 90, 30m, 12h or 7d."""
    match = re.fullmatch(r"(\d{1,9})([smhd]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"expected seconds, or a number with m, h or d (7d), found {text!r}"
        )
    return int(match[1]) * _UNITS_S[match[2]]


def run(options: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> int:
    """Ask, and print the answer; returns the exit status. Raises ConfigError."""
    config = _config(options.config, environ)
    url = (options.url or _url_of(config)).rstrip("/") + "/admin/cache"
    key = _key(config, environ)
    try:
        if options.action == "stats":
            print(shown(_ask("GET", url, key)))  # noqa: T201
            return 0
        chosen = {"group": options.group, "older_than_s": options.older}
        query = urlencode({name: value for name, value in chosen.items() if value is not None})
        purged = _ask("DELETE", f"{url}?{query}" if query else url, key)
    except CannotAskError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    print(  # noqa: T201
        f"Forgotten: {_count(purged['memory'], 'answer')} in memory, "
        f"{purged['second_level']:,} in the store behind."
    )
    return 0


def shown(stats: Mapping[str, Any]) -> str:
    """What /admin/cache told, in lines for people."""
    given = stats["hits"] + stats["coalesced"] + stats["stale"]
    asked = given + stats["misses"]
    share = f" ({given / asked:.1%} of {asked:,} calls)" if asked else ""
    lines = [
        f"answered:  {stats['hits']:,} hits, {stats['coalesced']:,} coalesced, "
        f"{stats['stale']:,} stale{share}",
        f"asked:     {stats['misses']:,} misses, of which {stats['kept']:,} are kept",
        f"saved:     {stats['saved_input_tokens']:,} input and {stats['saved_output_tokens']:,} "
        f"output tokens, {stats['saved_usd']:,.4f} US dollars",
        f"memory:    {_kept(stats['memory'])}",
    ]
    behind = stats["second_level"]
    if behind is not None:
        state = "connected" if behind["connected"] else f"not connected: {behind['why']}"
        lines.append(f"behind it: {_kept(behind['kept'])}; {state}")
        lines.append(
            f"           {behind['hits']:,} of {behind['reads']:,} reads were hits, "
            f"{behind['damaged']:,} damaged; {behind['failures']:,} operations failed, "
            f"{behind['dropped']:,} writes were dropped"
        )
    return "\n".join(lines)


def _kept(kept: Mapping[str, int] | None) -> str:
    if kept is None:
        return "not known at the moment"
    return f"{_count(kept['entries'], 'answer')}, {kept['bytes'] / 1e6:,.1f} MB"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _config(file: Path | None, environ: Mapping[str, str]) -> Config | None:
    default = Path("llmproxy.yaml")
    if file is None and default.exists():
        file = default
    return None if file is None else load_config(file, environ)


def _url_of(config: Config | None) -> str:
    if config is None:
        return DEFAULT_URL
    settings = config.general_settings
    host = settings.bind_address
    if host in ("0.0.0.0", "::"):  # noqa: S104 - it listens everywhere, here too
        host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.bind_port}"


def _key(config: Config | None, environ: Mapping[str, str]) -> str | None:
    if KEY_VARIABLE in environ:
        return environ[KEY_VARIABLE]
    secret = None if config is None else config.general_settings.admin_key
    return None if secret is None else secret.get_secret_value()


def _ask(method: str, url: str, key: str | None) -> Any:
    """One call of the admin API. Raises CannotAskError."""
    if not url.startswith(("http://", "https://")):
        raise CannotAskError(f"Expected --url http://host:port, found {url!r}.")
    request = Request(url, method=method)  # noqa: S310 - the scheme was looked at
    if key is not None:
        request.add_header("authorization", f"Bearer {key}")
    try:
        # Nobody stands between the operator and the proxy (HTTP_PROXY is for vendors).
        with build_opener(ProxyHandler({})).open(request, timeout=TIMEOUT_S) as answer:
            return json.load(answer)
    except HTTPError as error:
        raise CannotAskError(f"{url} answered {error.code}: {_detail(error)}") from error
    except (URLError, OSError, ValueError) as error:
        why = getattr(error, "reason", error)
        raise CannotAskError(
            f"Nothing that is an LLMProxy answers at {url}: {why}. Is it running? Where it is, "
            "--url or --config says."
        ) from error


def _detail(error: HTTPError) -> str:
    try:
        return str(json.load(error)["detail"])
    except (ValueError, KeyError, TypeError):
        return str(error.reason)
