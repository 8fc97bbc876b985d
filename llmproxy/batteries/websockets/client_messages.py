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


class ClientMessages:
    """The messages of one client. `_held`: the frames of a message that is not complete."""

    __slots__ = ("_call", "_endpoint", "_held", "_whole")

    def __init__(self, call: Call, endpoint: Endpoint) -> None:
        self._call = call
        self._endpoint = endpoint
        self._whole = call.route.dialect is RESPONSES
        self._held: list[Frame] = []

    def to_send(self, frame: Frame) -> tuple[list[Frame], bool]:
        """Return the frames that may be sent now, and whether they ask for a response.

        Raises ClientError for a message that this session does not serve.
        """
        if frame.opcode in CONTROL:
            return [frame], False
        if not self._whole:
            return [self._renamed(frame)], CREATE in bytes(frame.data)
        self._held.append(frame)
        if not frame.fin:
            return [], False
        frames, self._held = self._held, []
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
