"""Which calls are looked for, and in which order they are given: newest first."""

from __future__ import annotations

import msgspec

from llmproxy.events import CallFinished

# The end of a call and its id: what the order goes by, and where a page begins.
Position = tuple[float, str]


class CallFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which calls are wanted: each field that is set restricts them.

    Attributes:
        id: Ours, or the vendor's.
        caller, team, key, group, endpoint, model, code: As in the record; "" = calls without one.
        status: The lowest and the highest HTTP status.
        since: The first moment of the end of a call, in Unix seconds.
        until: The first moment after.
        notable: Only calls that failed, were retried or fell back.
    """

    id: str | None = None
    caller: str | None = None
    team: str | None = None
    key: str | None = None
    group: str | None = None
    endpoint: str | None = None
    model: str | None = None
    code: str | None = None
    status: tuple[int, int] | None = None
    since: float | None = None
    until: float | None = None
    notable: bool = False

    @property
    def names(self) -> dict[str, str]:
        """The fields that are compared with a column of text."""
        found = {column: getattr(self, name) for name, column in NAMES.items()}
        return {column: wanted for column, wanted in found.items() if wanted is not None}

    def takes(self, call: CallFinished) -> bool:
        """Return whether a call that is in memory is wanted."""
        values = columns_of(call)
        if any((values[column] or "") != wanted for column, wanted in self.names.items()):
            return False
        record, status, at = call.record, call.record.answer.status, call.ended_at
        return (
            (self.id is None or self.id in (values["id"], values["request_id"]))
            and (self.status is None or self.status[0] <= status <= self.status[1])
            and (self.since is None or at >= self.since)
            and (self.until is None or at < self.until)
            and (not self.notable or failed(call) or record.attempts > 1 or bool(record.fallback))
        )


# A field of the filter -> the column of the table `calls`.
NAMES = {
    "caller": "caller",
    "team": "team",
    "key": "key_id",
    "group": "group_name",
    "endpoint": "endpoint",
    "model": "model",
    "code": "error",
}


def columns_of(call: CallFinished) -> dict[str, str | None]:
    """Return the texts of a call by which it is looked for, by their columns."""
    record = call.record
    request, answer = record.request, record.answer
    vendor_id = answer.request_id
    return {
        "id": request.id or None,
        "request_id": None if vendor_id is None else vendor_id.decode("latin-1"),
        "caller": request.caller,
        "team": request.team,
        "key_id": request.key,
        "group_name": record.group,
        "endpoint": record.endpoint,
        "model": request.model,
        "error": answer.error,
    }


def failed(call: CallFinished) -> bool:
    """Return whether a call failed: 4xx, 5xx, or broken off."""
    return call.record.answer.status >= 400 or call.record.answer.error is not None


def position(call: CallFinished) -> Position:
    """Return where a call stands in the order."""
    return call.ended_at, call.record.request.id
