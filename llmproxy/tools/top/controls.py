"""What the user has chosen: a line, a filter, an order, a page, and what to do. Pure.

`Controls.after` takes a key, the rows and the calls that are shown, and returns the next Controls,
and the order to carry out if the key confirmed one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeVar

import msgspec

from llmproxy.tools.top.payloads import ShownEndpoint, ShownGroup, Trace

PAGE_ROWS = 10
MAX_SCROLLED = 200
_STEPS = {"down": 1, "j": 1, "up": -1, "k": -1, "page down": PAGE_ROWS, "page up": -PAGE_ROWS}
BACK = frozenset(("escape", "left", "backspace"))

CallKey = tuple[str | None, float]  # Trace.key
Place = TypeVar("Place")


class Page(Enum):
    """What fills the screen."""

    LIST = "list"
    ENDPOINT = "endpoint"
    CALLS = "calls"
    CALL = "call"
    HELP = "help"


class Order(Enum):
    """The order of groups, and of the endpoints in each."""

    CONFIG = "as in the config"
    TROUBLE = "in trouble first"
    CALLS = "most calls first"
    ERRORS = "most errors first"


class EndpointAction(Enum):
    """What can be done to an endpoint: the route of the admin API, and what it means."""

    DRAIN = ("drain", "Drain", "It gets no new calls; those under way finish.")
    ENABLE = ("enable", "Enable", "It gets calls again.")
    CLEAR = ("clear", "Clear the cooldown of", "It gets calls at once, and its breaker closes.")


@dataclass(frozen=True)
class Row:
    """A line that can be chosen: a group, or an endpoint of it."""

    group: str
    endpoint: str | None = None


@dataclass(frozen=True)
class Command:
    """An action at an endpoint."""

    action: EndpointAction
    row: Row


ACTION_KEYS = {"d": EndpointAction.DRAIN, "u": EndpointAction.ENABLE, "c": EndpointAction.CLEAR}


@dataclass(frozen=True)
class Controls:
    """`chosen`: the line that keys act on; None before the first key. `call`: the chosen one on the
    page of calls. `typing`: the filter is being written. `asked`: what waits for a confirmation.
    `scrolled`: lines of a page above the screen."""

    page: Page = Page.LIST
    chosen: Row | None = None
    call: CallKey | None = None
    only: str | None = None
    filter: str = ""
    typing: bool = False
    order: Order = Order.CONFIG
    asked: Command | None = None
    scrolled: int = 0

    def after(
        self, key: str, rows: Sequence[Row], calls: Sequence[CallKey] = ()
    ) -> tuple[Controls, Command | None]:
        """Return the controls after a key, and the command that it confirmed."""
        if self.asked is not None:
            confirmed = self.asked if key in ("y", "Y") else None
            return replace(self, asked=None), confirmed
        if self.typing:
            return self._after_typing(key), None
        if self.page is Page.HELP:
            return self._after_page_key(key if key in _STEPS else "escape", Page.LIST), None
        if self.page is Page.CALL:
            return self._after_page_key(key, Page.CALLS), None
        if key == "tab":
            page = Page.LIST if self.page is Page.CALLS else Page.CALLS
            return replace(self, page=page, call=None), None
        if self.page is Page.CALLS:
            return self._after_calls_key(key, calls), None
        if key in ACTION_KEYS:
            return self._asking(ACTION_KEYS[key]), None
        if self.page is Page.ENDPOINT:
            return self._after_page_key(key, Page.LIST), None
        return self._after_list_key(key, rows), None

    def _after_page_key(self, key: str, back: Page) -> Controls:
        if key in {*BACK, "enter"}:
            return replace(self, page=back, scrolled=0)
        scrolled = self.scrolled + _STEPS.get(key, 0)
        return replace(self, scrolled=min(MAX_SCROLLED, max(0, scrolled)))

    def _asking(self, action: EndpointAction) -> Controls:
        if self.chosen is None or self.chosen.endpoint is None:
            return self
        return replace(self, asked=Command(action, self.chosen))

    def _after_typing(self, key: str) -> Controls:
        match key:
            case "enter":
                return replace(self, typing=False)
            case "escape":
                return replace(self, typing=False, filter="")
            case "backspace":
                return replace(self, filter=self.filter[:-1])
        return replace(self, filter=self.filter + key) if len(key) == 1 else self

    def _after_list_key(self, key: str, rows: Sequence[Row]) -> Controls:
        match key:
            case "?":
                return replace(self, page=Page.HELP)
            case "/":
                return replace(self, typing=True, chosen=None)
            case "s":
                orders = list(Order)
                return replace(self, order=orders[(orders.index(self.order) + 1) % len(orders)])
            case "escape" | "left" | "backspace":
                if self.filter:
                    return replace(self, filter="")
                return replace(self, only=None, chosen=None)
            case "enter" | "right" if self.chosen is not None:
                if self.chosen.endpoint is not None:
                    return replace(self, page=Page.ENDPOINT)
                return replace(self, only=self.chosen.group)
        return replace(self, chosen=_moved(key, rows, self.chosen))

    def _after_calls_key(self, key: str, calls: Sequence[CallKey]) -> Controls:
        if key == "/":
            return replace(self, typing=True, call=None)
        if key in BACK:
            return replace(self, filter="") if self.filter else replace(self, page=Page.LIST)
        if key in ("enter", "right") and self.call is not None:
            return replace(self, page=Page.CALL)
        return replace(self, call=_moved(key, calls, self.call))


def _moved(key: str, places: Sequence[Place], chosen: Place | None) -> Place | None:
    """Return the place that a key leads to, from the chosen one; None if there is no place."""
    if not places:
        return None
    at = places.index(chosen) if chosen in places else -1
    steps = _STEPS | {"home": -len(places), "end": len(places)}
    if key not in steps:
        return chosen
    return places[min(len(places) - 1, max(0, at + steps[key]))]


def shown_calls(calls: Sequence[Trace], controls: Controls) -> list[Trace]:
    """Return the calls of the chosen line, or of the group that is looked into, that the filter
    leaves."""
    row = controls.chosen or (None if controls.only is None else Row(controls.only))
    if row is not None:
        calls = [call for call in calls if call.asked(row.group, row.endpoint)]
    return [call for call in calls if not controls.filter or _call_has(call, controls.filter)]


def _call_has(call: Trace, part: str) -> bool:
    said = (call.id, call.request, call.group, call.endpoint, call.caller, call.error, call.cache)
    return any(_has(text, part) for text in (*said, str(call.status)) if text is not None)


def shown_groups(groups: Sequence[ShownGroup], controls: Controls) -> tuple[ShownGroup, ...]:
    """Return the groups and endpoints that the filter leaves, in the chosen order."""
    kept = []
    for group in groups:
        if controls.only not in (None, group.group):
            continue
        fitting = group
        if controls.filter and not _has(group.group, controls.filter):
            endpoints = tuple(
                one
                for one in group.endpoints
                if _has(one.endpoint, controls.filter) or _has(one.state, controls.filter)
            )
            if not endpoints:
                continue
            fitting = msgspec.structs.replace(group, endpoints=endpoints)
        kept.append(_sorted_inside(fitting, controls.order))
    if controls.order is Order.CONFIG:
        return tuple(kept)
    return tuple(sorted(kept, key=lambda group: _rank(group, controls.order)))


def rows_of(groups: Sequence[ShownGroup]) -> list[Row]:
    """Return the lines that can be chosen, from top to bottom."""
    rows = []
    for group in groups:
        rows.append(Row(group.group))
        rows += [Row(group.group, one.endpoint) for one in group.endpoints]
    return rows


def _has(text: str, part: str) -> bool:
    return part.casefold() in text.casefold()


def _sorted_inside(group: ShownGroup, order: Order) -> ShownGroup:
    if order is Order.CONFIG:
        return group
    endpoints = tuple(sorted(group.endpoints, key=lambda one: _rank(one, order)))
    return msgspec.structs.replace(group, endpoints=endpoints)


def _rank(row: ShownGroup | ShownEndpoint, order: Order) -> float:
    match order:
        case Order.CALLS:
            return -row.recent.calls
        case Order.ERRORS:
            return -row.recent.errors
        case Order.TROUBLE:
            state = row.status if isinstance(row, ShownGroup) else row.state
            return 0 if state not in ("ok", "full") else 1 if state == "full" else 2
    return 0
