"""What the user has chosen: a line, a filter, an order, a page, and what to do. Pure.

`Controls.after` takes a key and the rows that are shown, and returns the next Controls, and the
order to carry out if the key confirmed one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import msgspec

from llmproxy.tools.top.payloads import ShownEndpoint, ShownGroup

PAGE_ROWS = 10


class Page(Enum):
    """What fills the screen."""

    LIST = "list"
    ENDPOINT = "endpoint"
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
    """`chosen`: the line that keys act on; None before the first key. `typing`: the filter is being
    written. `asked`: what waits for a confirmation."""

    page: Page = Page.LIST
    chosen: Row | None = None
    only: str | None = None
    filter: str = ""
    typing: bool = False
    order: Order = Order.CONFIG
    asked: Command | None = None

    def after(self, key: str, rows: Sequence[Row]) -> tuple[Controls, Command | None]:
        """Return the controls after a key, and the command that it confirmed."""
        if self.asked is not None:
            confirmed = self.asked if key in ("y", "Y") else None
            return replace(self, asked=None), confirmed
        if self.typing:
            return self._after_typing(key), None
        if self.page is Page.HELP:
            return replace(self, page=Page.LIST), None
        if key in ACTION_KEYS:
            return self._asking(ACTION_KEYS[key]), None
        if self.page is Page.ENDPOINT:
            is_back = key in ("escape", "left", "enter", "backspace")
            return (replace(self, page=Page.LIST) if is_back else self), None
        return self._after_list_key(key, rows), None

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
        return self._moved(key, rows)

    def _moved(self, key: str, rows: Sequence[Row]) -> Controls:
        if not rows:
            return replace(self, chosen=None)
        at = rows.index(self.chosen) if self.chosen in rows else -1
        steps = {
            "down": 1,
            "j": 1,
            "up": -1,
            "k": -1,
            "page down": PAGE_ROWS,
            "page up": -PAGE_ROWS,
        }
        steps |= {"home": -len(rows), "end": len(rows)}
        if key not in steps:
            return self
        return replace(self, chosen=rows[min(len(rows) - 1, max(0, at + steps[key]))])


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
