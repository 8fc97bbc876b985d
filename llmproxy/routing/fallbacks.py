"""From one group to the next, where the operator has named groups to fall back on.

A call leaves a group only when the group could not serve it at all, or rejects it for a reason that
the operator has named groups for: it is too long, or a content filter refused it. A call that may
have taken effect stays.
"""

from __future__ import annotations

from llmproxy.errors import GatewayError, NoEndpoint, RequestRejected
from llmproxy.routing.group import Group


class Fallbacks:
    """The groups that are left for one call. `error`: what the client gets if they fail, too."""

    __slots__ = ("_left", "_name", "_rejected_left", "error")

    def __init__(self, group: Group) -> None:
        self._left = list(group.fallbacks)
        self._rejected_left = {
            code: list(groups) for code, groups in group.rejected_fallbacks.items()
        }
        self._name = group.name
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
