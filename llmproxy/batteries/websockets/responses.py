"""The responses of a session: which are under way, and what each has used."""

from __future__ import annotations

from websockets.frames import Frame, Opcode

from llmproxy.batteries.websockets.events import CREATED, ENDS, kind_of, may_be_error, usage_in_end
from llmproxy.operations import Usage

MAX_COLLECTED_BYTES = 1024 * 1024  # of the event that ends a response, where it comes in fragments


class Responses:
    """Follows the events of an endpoint.

    `_asked`: responses that the client has asked for and that have not begun; `_begun`: those that
    have begun and not ended. `_collected`: the event that ends a response, as far as it has come.
    """

    __slots__ = ("_asked", "_begun", "_collected")

    def __init__(self) -> None:
        self._asked = self._begun = 0
        self._collected: bytearray | None = None

    @property
    def under_way(self) -> bool:
        """Whether a response is awaited."""
        return self._asked > 0 or self._begun > 0

    def asked(self) -> None:
        """Note that the client has asked for one."""
        self._asked += 1

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
        self._note_end()
        whole, self._collected = bytes(self._collected), None
        return usage_in_end(whole)

    def _note_beginning(self, kind: bytes, payload: bytes) -> None:
        if kind == CREATED:
            self._begun += 1
        if self._asked and (kind == CREATED or (not kind and may_be_error(payload))):
            self._asked -= 1

    def _note_end(self) -> None:
        if self._begun:
            self._begun -= 1
        elif self._asked:
            self._asked -= 1
