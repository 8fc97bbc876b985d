"""The gate of a limit a minute that instances share."""

from __future__ import annotations

from llmproxy.protocols import SharedQuota
from llmproxy.rules.capacity.window import MinuteWindow


class SharedMinute:
    """The same limits, shared with other instances: the quota decides, the window stands in.

    While the quota is connected, it decides when a call is sent. When the view of the others is
    lost, this instance keeps to its part of the limits in its own window: of 600 a minute on four
    instances, 150. `rpm`, `tpm`: the limits in force, the operator's or the vendor's.
    """

    __slots__ = ("_quota", "_rpm", "_tpm", "_window")

    def __init__(
        self, quota: SharedQuota, window: MinuteWindow, rpm: float | None, tpm: float | None
    ) -> None:
        self._quota = quota
        self._window = window
        self._rpm = rpm
        self._tpm = tpm

    def wait_s(self, requests: int, tokens: int, now: float) -> float:
        """See `Gate`."""
        share = self._quota.share
        if share is None:
            return self._quota.wait_s(requests, tokens, now)
        rpm = None if self._rpm is None else self._rpm * share
        tpm = None if self._tpm is None else self._tpm * share
        return self._window.wait_within_s(rpm, tpm, requests, tokens, now)

    def reserve(self, tokens: int, now: float) -> None:
        """See `CountingGate`."""
        self._window.reserve(tokens, now)
        self._quota.reserve(tokens, now)

    def correct(self, tokens: int, sent_at: float, now: float) -> None:
        """See `CountingGate`."""
        self._window.correct(tokens, sent_at, now)
        self._quota.correct(tokens, sent_at, now)

    def give_back(self, tokens: int, sent_at: float, now: float) -> None:
        """See `CountingGate`."""
        self._window.give_back(tokens, sent_at, now)
        self._quota.give_back(tokens, sent_at, now)
