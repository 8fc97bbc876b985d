"""The parameters of `/admin/calls` that say which calls are wanted."""

from __future__ import annotations

from time import time
from typing import Annotated

from fastapi import HTTPException, Query, Request

from llmproxy.batteries.spend import SpendQueryError, moment
from llmproxy.batteries.store import CallFilter, Position, position
from llmproxy.events import CallFinished

NONE = "(none)"
OTHERS = ("limit", "cursor", "notable", "id", "status", "since", "until")
NAMES = ("caller", "team", "key", "group", "endpoint", "model", "code")
Name = Annotated[str | None, Query(description="only calls with this one; `(none)`: without any")]
Id = Annotated[str | None, Query(description="ours or the endpoint's")]
Status = Annotated[str | None, Query(description="429, 5xx or 400-499")]
Since = Annotated[str | None, Query(description="12h, 30d, 2026-10-31T12:00 or Unix seconds; UTC")]
Until = Annotated[str | None, Query(description="the end, not included")]
Notable = Annotated[bool, Query(description="only calls that failed, were retried or fell back")]


def call_filter(  # noqa: PLR0913 - each is a parameter of the API
    request: Request,
    *,
    id: Id = None,
    caller: Name = None,
    team: Name = None,
    key: Name = None,
    group: Name = None,
    endpoint: Name = None,
    model: Name = None,
    code: Name = None,
    status: Status = None,
    since: Since = None,
    until: Until = None,
    notable: Notable = False,
) -> CallFilter:
    """Return which calls a request wants."""
    for name in request.query_params:
        if name not in (*OTHERS, *NAMES):  # a misspelt one would not restrict
            known = ", ".join((*NAMES, *OTHERS))
            raise HTTPException(400, f"Unknown parameter {name!r}. There are: {known}.")
    try:
        start, end = (moment(text, time()) if text else None for text in (since, until))
    except SpendQueryError as error:
        raise HTTPException(400, str(error)) from error
    return CallFilter(
        id=id or None,
        caller=_wanted(caller),
        team=_wanted(team),
        key=_wanted(key),
        group=_wanted(group),
        endpoint=_wanted(endpoint),
        model=_wanted(model),
        code=_wanted(code),
        status=_statuses(status) if status else None,
        since=start,
        until=end,
        notable=notable,
    )


def cursor_of(call: CallFinished) -> str:
    """Return the text of where the page after a call begins."""
    at, id = position(call)
    return f"{at!r}_{id}"


def position_of(cursor: str | None) -> Position | None:
    """Return where a page begins."""
    if not cursor:
        return None
    at, _, id = cursor.partition("_")
    try:
        return float(at), id
    except ValueError:
        raise HTTPException(400, "`cursor` is the `next` of the page before.") from None


def _wanted(name: str | None) -> str | None:
    """An empty parameter does not restrict."""
    return "" if name == NONE else name or None


def _statuses(text: str) -> tuple[int, int]:
    if len(text) == 3 and text[1:].lower() == "xx" and text[0].isdecimal():
        return int(text[0]) * 100, int(text[0]) * 100 + 99
    first, _, last = text.partition("-")
    if len(text) <= 7 and first.isdecimal() and (last or first).isdecimal():
        return int(first), int(last or first)
    raise HTTPException(400, f"`status` is such as 429, 5xx or 400-499, found {text!r}.")
