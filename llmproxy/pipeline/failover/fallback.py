"""From one group to the next, where the operator has named groups to fall back on.

A group is left only when it could not serve the call at all, or when the prompt is too long for
it; and never for a call that may have taken effect, or that uses ids of one account.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Protocol

from llmproxy.calls import Accepted, Call
from llmproxy.errors import CONTEXT_LENGTH_EXCEEDED, GatewayError, NoEndpoint, RequestRejected
from llmproxy.record import CallRecord
from llmproxy.routing import Group
from llmproxy.steps import FellBack


class Attempting(Protocol):
    """The attempts of a call in one group (loop.py)."""

    may_go_elsewhere: bool

    async def __aenter__(self) -> Accepted:
        """The first accepted answer."""

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Done with it."""


class Fallback:
    """The attempts of one call over several groups."""

    __slots__ = ("_attempting", "_begin", "_call", "_context_left", "_group", "_left", "_record")

    def __init__(
        self, begin: Callable[[Group], Attempting], call: Call, group: Group, record: CallRecord
    ) -> None:
        self._begin = begin
        self._call = call
        self._group = group
        self._record = record
        self._left = list(group.fallbacks)
        self._context_left = list(group.context_fallbacks)
        self._attempting = begin(group)

    async def __aenter__(self) -> Accepted:
        first: GatewayError | None = None
        while True:
            try:
                return await self._attempting.__aenter__()
            except GatewayError as error:
                first = error if first is None else _both(first, error, self._record.fallback)
                group = self._next_after(error)
                if group is None:
                    raise first from error
            self._record.fallback = group.name
            self._record.steps.append(FellBack(group.name, monotonic()))
            self._attempting = self._begin(group)

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self._attempting.__aexit__(kind, error, trace)

    def _next_after(self, error: GatewayError) -> Group | None:
        if isinstance(error, RequestRejected):
            too_long = error.code == CONTEXT_LENGTH_EXCEEDED and self._context_left
            return self._context_left.pop(0) if too_long else None
        if error.code == "deadline_exceeded" or not self._attempting.may_go_elsewhere:
            return None
        return self._left.pop(0) if self._left else None


def _both(first: GatewayError, later: GatewayError, fallback: str | None) -> GatewayError:
    """The first group's error, which also tells what became of the fallback."""
    if isinstance(first, NoEndpoint):
        first.message += f" Fallback '{fallback}': {later.message}"
        if isinstance(later, NoEndpoint) and later.retry_after_s is not None:
            wait_s = later.retry_after_s
            first.retry_after_s = min(first.retry_after_s or wait_s, wait_s)
    return first
