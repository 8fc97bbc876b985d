"""What a client sends in a session, as the endpoint gets it.

In a realtime session, frames pass as they came. In one of Responses, each message is a call: it is
looked at whole, because it may name another model than the one that the session was opened for, and
the endpoint may know the model by another name. Where ids have owners, each message of text but
audio is looked at, in realtime, too.
"""

from __future__ import annotations

from websockets.frames import Frame, Opcode

from llmproxy.batteries.websockets.checks import MessageChecks, is_audio
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
ESCAPE = b"\\u"  # may hide what a message is


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
    """The messages of one client. `_held`: the one that is not complete. `checks`: None = no id
    has an owner."""

    __slots__ = ("_call", "_endpoint", "_held", "_of_responses", "_whole", "checks")

    def __init__(self, call: Call, endpoint: Endpoint, checks: MessageChecks | None) -> None:
        self._call = call
        self._endpoint = endpoint
        self.checks = checks
        self._of_responses = call.route.dialect is RESPONSES
        self._whole = self._of_responses or checks is not None
        self._held = HeldMessage()

    def to_send(self, frame: Frame) -> tuple[list[Frame], bool, bytes | None]:
        """Return the frames that may be sent now, whether they ask for a response, and the message
        if `checks` has to pass it first.

        Raises ClientError for a message that this session does not serve.
        """
        if frame.opcode in CONTROL:
            return [frame], False, None
        if not self._whole:
            return [self._renamed(frame)], CREATE in bytes(frame.data), None
        self._held.add(frame)
        if not frame.fin:
            return [], False, None
        frames, self._held = self._held.frames, HeldMessage()
        if frames[0].opcode is not Opcode.TEXT:
            return frames, False, None
        message = b"".join(bytes(held.data) for held in frames)
        asks = CREATE in message
        to_check = message if self.checks is not None else None
        if not self._of_responses:
            to_check = None if is_audio(message) else to_check
            return [self._renamed(part) for part in frames], asks, to_check
        if not (asks or ESCAPE in message):
            return frames, False, to_check
        named = model_named_in(message)
        if named not in (None, self._call.model):
            raise other_model(str(named), self._call.model)
        sent = adapted(message, self._endpoint)
        return frames if sent == message else [Frame(Opcode.TEXT, sent)], asks, to_check

    def _renamed(self, frame: Frame) -> Frame:
        ours, theirs = self._call.model, self._endpoint.model
        if frame.opcode is Opcode.TEXT and frame.fin and theirs not in (None, ours):
            frame.data = with_session_model(bytes(frame.data), ours, theirs)
        return frame
