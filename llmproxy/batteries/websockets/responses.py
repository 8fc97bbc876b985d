"""The responses of a session: which are under way, and what each has used."""

from __future__ import annotations

from collections import deque

from websockets.frames import Frame, Opcode

from llmproxy.batteries.websockets.checks import Learner
from llmproxy.batteries.websockets.events import (
    CREATED,
    ENDS,
    ITEM_DONE,
    kind_of,
    may_be_error,
    usage_in_end,
)
from llmproxy.operations import Usage

MAX_COLLECTED_BYTES = 1024 * 1024  # of the event that ends a response, where it comes in fragments


class Responses:
    """Follows the events of an endpoint.

    `_asked`: responses that the client has asked for and that have not begun, with what learns from
    them; `_begun`: how many have begun and not ended. `_learner`: of the last one that has begun.
    `_collected`: the event that ends a response, as far as it has come.
    """

    __slots__ = ("_asked", "_begun", "_collected", "_learner")

    def __init__(self) -> None:
        self._asked: deque[Learner | None] = deque()
        self._begun = 0
        self._learner: Learner | None = None
        self._collected: bytearray | None = None

    @property
    def under_way(self) -> bool:
        """Whether a response is awaited."""
        return bool(self._asked) or self._begun > 0

    def asked(self, learner: Learner | None = None) -> None:
        """Note that the client has asked for one."""
        self._asked.append(learner)

    def note(self, frame: Frame, payload: bytes) -> Usage | None:
        """Take note of a frame of text; return the usage of the response that it ends, if any."""
        if frame.opcode is Opcode.TEXT:
            kind = kind_of(payload)
            self._collected = bytearray() if kind in ENDS else None
            if self._collected is None:
                self._note_beginning(kind, payload)
        if self._collected is None or len(self._collected) > MAX_COLLECTED_BYTES:
            return None
        self._collected += payload
        if not frame.fin:
            return None
        whole, self._collected = bytes(self._collected), None
        self._note_end(whole)
        return usage_in_end(whole)

    def _note_beginning(self, kind: bytes, payload: bytes) -> None:
        if kind == CREATED:
            self._begun += 1
        if self._asked and (kind == CREATED or (not kind and may_be_error(payload))):
            self._learner = self._asked.popleft()
            if self._learner is not None and kind == CREATED:
                self._learner.created(payload)
        elif kind == ITEM_DONE and self._learner is not None:
            self._learner.told(payload)

    def _note_end(self, payload: bytes) -> None:
        if self._begun:
            self._begun -= 1
            if self._learner is not None:
                self._learner.told(payload)
        elif self._asked:
            self._asked.popleft()
        self._learner = None
