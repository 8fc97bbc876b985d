"""The tokens of a session, counted against limits while it lasts.

A call's tokens are counted when it ends, at the time when it was sent. A session may last for an
hour, so the tokens of each response are counted when the response ends. When the session ends, its
whole usage is settled as a call's is; so what was counted on the way is taken back first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from time import monotonic

from llmproxy.calls import Call
from llmproxy.operations import Usage
from llmproxy.routing import Group
from llmproxy.rules.capacity import Capacity


class Meter:
    """Counts the usage of one session."""

    __slots__ = ("_began_at", "_capacities", "_counted")

    def __init__(self, capacities: Iterable[Capacity]) -> None:
        self._capacities = tuple(capacities)
        self._began_at = monotonic()
        self._counted = 0

    def charge(self, usage: Usage) -> None:
        """Count what a response has used."""
        tokens, now = usage.input_tokens + usage.output_tokens, monotonic()
        self._counted += tokens
        for capacity in self._capacities:
            capacity.note_used(tokens, now, now)

    def take_back(self) -> None:
        """Take back what was counted: the session is over, and settled whole."""
        now = monotonic()
        for capacity in self._capacities:
            capacity.note_used(-self._counted, self._began_at, now)


def capacities_of(
    call: Call, team: str | None, group: Group, endpoint: str, of_callers: Iterable[Capacity]
) -> Iterator[Capacity]:
    """Yield the capacities that a session at an endpoint uses: its account's, its caller's and its
    team's."""
    yield from (state.capacity for state in group.states if state.endpoint.name == endpoint)
    if call.caller is not None:
        keys = f"caller:{call.caller}", f"team:{team}"
        yield from (capacity for capacity in of_callers if capacity.key in keys)
