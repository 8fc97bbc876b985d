"""Calls begin at once, where no battery bounds those in flight."""

from __future__ import annotations

from typing import Self

from llmproxy.calls import Call
from llmproxy.config import GeneralSettings
from llmproxy.record import CallRecord
from llmproxy.routing import Group


class UnboundedAdmission:
    """Implements `Admission`: only counts the calls in flight."""

    __slots__ = ("in_flight",)

    def __init__(self) -> None:
        self.in_flight = 0

    def limit_to(self, settings: GeneralSettings) -> None:
        """Do nothing: there is no bound."""

    def admit(self, _call: Call, _group: Group, _record: CallRecord) -> Self:
        """Return the context manager that counts a call."""
        return self

    async def __aenter__(self) -> None:
        self.in_flight += 1

    async def __aexit__(self, *_: object) -> None:
        self.in_flight -= 1
