"""What the messages of a session name, judged as the HTTP call that would say the same.

A response that another caller made, or a file that another account keeps, is refused in a session
as it is in a call (docs/decisions/048). The owners of ids decide; they are asked for each message,
and given what the endpoint tells of the responses that it creates.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec.structs import replace

from llmproxy.calls import Call, Headers
from llmproxy.errors import ClientError
from llmproxy.operations import RESPONSES
from llmproxy.operations.table import route_to
from llmproxy.protocols import Client, Owners
from llmproxy.record import CallRecord
from llmproxy.routing import Group, Pool

# An event of realtime names what such a call would name that makes a session.
LIKE_REALTIME = route_to("realtime/sessions")
_AUDIO = re.compile(
    rb'\s*\{\s*(?:"event_id"\s*:\s*"[^"\\]{0,512}"\s*,\s*)?'
    rb'"type"\s*:\s*"input_audio_buffer\.append"\s*,\s*"audio"\s*:\s*"'
)
_EVENT_ID = re.compile(rb'"event_id"\s*:\s*"[^"\\]*"\s*,?')
_EVENTS = (b"content-type", b"text/event-stream")


class Unwritten:
    """A Client that nothing is written to: a session's answer goes another way."""

    connected = True
    started = False

    def start(self, status: int, headers: Headers, *, length: int | None) -> None:
        """Write nothing."""

    def write(self, chunk: bytes) -> bool:
        """Write nothing."""
        del chunk
        return True

    async def drain(self) -> None:
        """Wait for nothing."""

    def finish(self) -> None:
        """Write nothing."""

    def abort(self) -> None:
        """Close nothing."""

    def keep_call(self, on_leave: Callable[[], None]) -> None:
        """Do nothing: the session knows when its client leaves."""


class Learner:
    """Tells the owners of ids what the events of one response say."""

    __slots__ = ("_client",)

    def __init__(self, client: Client) -> None:
        self._client = client

    def created(self, event: bytes) -> None:
        """Take the event that begins the response."""
        self._client.start(200, [_EVENTS], length=None)
        self.told(event)

    def told(self, event: bytes) -> None:
        """Take a later event. The id of an event is none that an account keeps."""
        self._client.write(_EVENT_ID.sub(b"", event))


class MessageChecks:
    """Judges the messages of one session. `record`: of the session, which names the group that
    serves it, perhaps a fallback, and its endpoint. `pool`: all groups."""

    __slots__ = ("_call", "_owners", "_pool", "_record")

    def __init__(self, owners: Owners, call: Call, pool: Pool, record: CallRecord) -> None:
        route = call.route if call.route.dialect is RESPONSES else LIKE_REALTIME
        # An earlier response may live in the session only: one that nobody remembers is no error.
        group = record.fallback or record.group
        self._call = replace(
            call,
            model=group,
            method="POST",
            route=route,
            body=b"",
            model_in_body=group,
            bound_to_account=False,
        )
        self._owners = owners
        self._pool = pool
        self._record = record

    async def check(self, message: bytes) -> Learner | None:
        """Return what learns from the response that a message asks for, if anything does.

        Raises ClientError for a message that names what is another caller's, or what another
        account keeps.
        """
        stateful = self._owners.answering(replace(self._call, body=message), self._pool)
        if stateful is None:
            return None
        learners: list[Learner] = []

        async def ask(call: Call, group: Group, client: Client, _record: CallRecord) -> None:
            if call.bound_to_account or call.route.bound_to_account:
                self._refuse_others(group)
            learners.append(Learner(client))

        served = self._record
        record = CallRecord(group=served.group, fallback=served.fallback, endpoint=served.endpoint)
        await stateful(Unwritten(), record, ask)
        # Realtime's responses and items are gone with their session: nobody can name them later.
        return learners[-1] if learners and self._call.route.dialect is RESPONSES else None

    def _refuse_others(self, group: Group) -> None:
        """Raise ClientError if a group is the part of one account, and the session is not there."""
        names, here = [state.endpoint.name for state in group.states], self._record.endpoint
        if self._pool.groups.get(group.name) is not group and here not in names:
            raise ClientError(
                "What this message names is kept by the account of the endpoint "
                f"'{names[0]}' (group '{group.name}'), and this session is served by '{here}'. "
                "Open another connection for it.",
                code="id_of_another_account",
            )


def is_audio(message: bytes) -> bool:
    """Return whether a message is a piece of audio and nothing else."""
    begin = _AUDIO.match(message)
    return begin is not None and message[message.find(b'"', begin.end()) :].strip() == b'"}'
