"""What a client sends in a session, as the endpoint gets it.

In a realtime session, frames pass as they came. In one of Responses, each message is a call: it is
looked at whole, because it may name another model than the one that the session was opened for, and
the endpoint may know the model by another name.
"""

from __future__ import annotations

from websockets.frames import Frame, Opcode

from llmproxy.batteries.websockets.events import (
    CREATE,
    adapted,
    model_named_in,
    other_model,
    with_session_model,
)
from llmproxy.calls import Call
from llmproxy.operations import RESPONSES
from llmproxy.providers.base import Endpoint

CONTROL = frozenset((Opcode.PING, Opcode.PONG, Opcode.CLOSE))
MAX_SMALL = 1000


class HeldMessage:
    """A message that is not complete. Its frames are as they came; of a thousand small ones, each
    of which may be empty and costs memory all the same, one is made."""

    __slots__ = ("_small", "frames")

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self._small = 0

    def add(self, frame: Frame) -> None:
        """Take the next frame."""
        self.frames.append(frame)
        self._small += 1
        if self._small == MAX_SMALL:
            joined = self.frames[-MAX_SMALL:]
            whole = b"".join(bytes(part.data) for part in joined)
            self.frames[-MAX_SMALL:] = [Frame(joined[0].opcode, whole, fin=frame.fin)]
            self._small = 0


class ClientMessages:
    """The messages of one client. `_held`: the one that is not complete."""

    __slots__ = ("_call", "_endpoint", "_held", "_whole")

    def __init__(self, call: Call, endpoint: Endpoint) -> None:
        self._call = call
        self._endpoint = endpoint
        self._whole = call.route.dialect is RESPONSES
        self._held = HeldMessage()

    def to_send(self, frame: Frame) -> tuple[list[Frame], bool]:
        """Return the frames that may be sent now, and whether they ask for a response.

        Raises ClientError for a message that this session does not serve.
        """
        if frame.opcode in CONTROL:
            return [frame], False
        if not self._whole:
            return [self._renamed(frame)], CREATE in bytes(frame.data)
        self._held.add(frame)
        if not frame.fin:
            return [], False
        frames, self._held = self._held.frames, HeldMessage()
        if frames[0].opcode is not Opcode.TEXT:
            return frames, False
        message = b"".join(bytes(held.data) for held in frames)
        if CREATE not in message:
            return frames, False
        named = model_named_in(message)
        if named not in (None, self._call.model):
            raise other_model(str(named), self._call.model)
        sent = adapted(message, self._endpoint)
        return frames if sent == message else [Frame(Opcode.TEXT, sent)], True

    def _renamed(self, frame: Frame) -> Frame:
        ours, theirs = self._call.model, self._endpoint.model
        if frame.opcode is Opcode.TEXT and frame.fin and theirs not in (None, ours):
            frame.data = with_session_model(bytes(frame.data), ours, theirs)
        return frame
