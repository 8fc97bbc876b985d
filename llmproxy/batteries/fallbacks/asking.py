"""Asks one group after the other, as following.py decides."""

from __future__ import annotations

from time import monotonic
from types import TracebackType

from llmproxy.batteries.fallbacks.following import Fallbacks, Followers, followers_of
from llmproxy.calls import Accepted, Call
from llmproxy.config import Config
from llmproxy.errors import GatewayError
from llmproxy.protocols import AskGroup, GroupAttempts
from llmproxy.record import CallRecord
from llmproxy.routing import Group, Pool
from llmproxy.steps import FellBack


def with_fallbacks(ask: AskGroup, config: Config, pool: Pool) -> AskGroup:
    """Return a function that also asks the fallbacks of a config; `ask` itself if it has none."""
    followers = followers_of(config, pool)
    if not followers:
        return ask

    def ask_groups(call: Call, group: Group, record: CallRecord) -> GroupAttempts:
        following = followers.get(group.name)
        # A part of a group was chosen for what its account keeps (batteries/owners).
        is_part = pool.groups.get(group.name) is not group
        if following is None or call.bound_to_account or is_part:
            return ask(call, group, record)
        return AttemptsInTurn(ask, following, call, group, record)

    return ask_groups


class AttemptsInTurn:
    """The attempts of one call over several groups."""

    __slots__ = ("_ask", "_attempts", "_call", "_followers", "_group", "_record")

    _attempts: GroupAttempts

    def __init__(
        self, ask: AskGroup, followers: Followers, call: Call, group: Group, record: CallRecord
    ) -> None:
        self._ask = ask
        self._followers = followers
        self._call = call
        self._group = group
        self._record = record

    @property
    def may_go_elsewhere(self) -> bool:
        """Whether yet another group may serve the call."""
        return self._attempts.may_go_elsewhere

    async def __aenter__(self) -> Accepted:
        fallbacks, group = Fallbacks(self._followers), self._group
        while True:
            self._attempts = self._ask(self._call, group, self._record)
            try:
                return await self._attempts.__aenter__()
            except GatewayError as error:
                may_go = self._attempts.may_go_elsewhere
                following = fallbacks.after(error, may_go_elsewhere=may_go)
                if following is None:
                    raise (fallbacks.error or error) from error
            group = following
            self._record.fallback = group.name
            self._record.steps.append(FellBack(group.name, monotonic()))

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._attempts.__aexit__(kind, error, trace)
