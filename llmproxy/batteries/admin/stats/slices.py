"""Work on all endpoints without holding up calls: in slices, and seldom if there are many."""

from __future__ import annotations

from asyncio import sleep
from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from llmproxy.routing import Group

T = TypeVar("T")

SLICE_S = 0.001
LEAST_S = 0.5
# Looking at one endpoint for the state takes some 40 us of CPU, so this is 1 % of a core.
OF_AN_ENDPOINT_S = 0.004


async def in_slices(pieces: Iterable[T]) -> list[T]:
    """Return what an iterator yields; every millisecond calls get their turn."""
    found, until = [], monotonic() + SLICE_S
    for piece in pieces:
        found.append(piece)
        if monotonic() >= until:
            await sleep(0)
            until = monotonic() + SLICE_S
    return found


def pause_s(groups: Iterable[Group]) -> float:
    """Return how many seconds should pass between two looks at all endpoints of the groups."""
    return max(LEAST_S, OF_AN_ENDPOINT_S * sum(len(group.states) for group in groups))
