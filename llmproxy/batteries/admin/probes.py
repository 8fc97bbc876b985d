"""Probes: `/livez` (the process runs) and `/readyz` (it accepts traffic).

They are answered without the admin application: it need not be made for them, and a probe that
waits a second for it may be taken for a process that hangs.
"""

from __future__ import annotations

import msgspec

from llmproxy.protocols import ASGIApp, Receive, Scope, Send
from llmproxy.runtime import LiveConfig


class ProbeAnswer(msgspec.Struct, frozen=True):
    """What a probe is told."""

    code: int  # of HTTP
    status: str


ALIVE = ProbeAnswer(200, "alive")
READY, DRAINING = ProbeAnswer(200, "ready"), ProbeAnswer(503, "draining")


def readiness(live: LiveConfig) -> ProbeAnswer:
    """Return whether a process accepts traffic."""
    return DRAINING if live.draining else READY


class Probes:
    """ASGI application: answers probes, and passes all other requests on."""

    def __init__(self, live: LiveConfig, application: ASGIApp) -> None:
        self._live = live
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        answer = self._answer_to(scope)
        if answer is None:
            await self._application(scope, receive, send)
            return
        body = b'{"status":"%s"}' % answer.status.encode()
        headers = [
            (b"content-length", b"%d" % len(body)),
            (b"content-type", b"application/json"),
            (b"x-content-type-options", b"nosniff"),
        ]
        await send({"type": "http.response.start", "status": answer.code, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer_to(self, scope: Scope) -> ProbeAnswer | None:
        if scope["type"] != "http" or scope["method"] != "GET":
            return None
        match scope["raw_path"]:
            case b"/livez":
                return ALIVE
            case b"/readyz":
                return readiness(self._live)
            case _:
                return None
