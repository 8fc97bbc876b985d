"""Decides which group follows one that has failed. Pure rules.

A call leaves a group only when the group could not serve it at all, or rejects it for a reason that
the operator has named groups for: it is too long, or a content filter refused it. A call that may
have taken effect stays.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from llmproxy.config import Config
from llmproxy.errors import (
    CONTENT_FILTER,
    CONTEXT_LENGTH_EXCEEDED,
    GatewayError,
    NoEndpoint,
    RequestRejected,
)
from llmproxy.routing import Group, Pool


class Followers(msgspec.Struct, frozen=True):
    """The groups that follow one. `after_rejection`: those that may accept what it has rejected,
    by the code of the rejection."""

    usual: tuple[Group, ...] = ()
    after_rejection: Mapping[str, tuple[Group, ...]] = {}


def followers_of(config: Config, pool: Pool) -> dict[str, Followers]:
    """Return what follows the groups that have fallbacks, by their names."""

    def groups(names: tuple[str, ...]) -> tuple[Group, ...]:
        return tuple(pool.groups[name] for name in names)

    return {
        entry.model_group: Followers(
            groups(entry.fallbacks),
            {
                CONTEXT_LENGTH_EXCEEDED: groups(entry.context_window_fallbacks),
                CONTENT_FILTER: groups(entry.content_filter_fallbacks),
            },
        )
        for entry in config.model_groups
        if entry.all_fallbacks
    }


class Fallbacks:
    """The groups that are left for one call. `error`: what the client gets if they fail, too."""

    __slots__ = ("_left", "_name", "_rejected_left", "error")

    def __init__(self, followers: Followers) -> None:
        self._left = list(followers.usual)
        self._rejected_left = {
            code: list(groups) for code, groups in followers.after_rejection.items()
        }
        self._name = ""  # of the last group that followed
        self.error: GatewayError | None = None

    def after(self, error: GatewayError, *, may_go_elsewhere: bool) -> Group | None:
        """Return the group to ask after an error; None if the call ends.

        `may_go_elsewhere`: no attempt can have taken effect.
        """
        if self.error is None:
            self.error = error
        else:
            self._add(self.error, error)
        group = self._next_after(error, may_go_elsewhere=may_go_elsewhere)
        if group is not None:
            self._name = group.name
        return group

    def _next_after(self, error: GatewayError, *, may_go_elsewhere: bool) -> Group | None:
        if isinstance(error, RequestRejected):
            left = self._rejected_left.get(error.code or "")
            return left.pop(0) if left else None
        if error.code == "deadline_exceeded" or not may_go_elsewhere:
            return None
        return self._left.pop(0) if self._left else None

    def _add(self, first: GatewayError, later: GatewayError) -> None:
        """Add a fallback's failure to the first group's error, which the client gets."""
        if not isinstance(first, NoEndpoint):
            return
        first.message += f" Fallback '{self._name}': {later.message}"
        if isinstance(later, NoEndpoint) and later.retry_after_s is not None:
            wait_s = later.retry_after_s
            first.retry_after_s = min(first.retry_after_s or wait_s, wait_s)
