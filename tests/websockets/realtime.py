"""A vendor of WebSockets: it keeps what it receives, and answers as a realtime endpoint would."""

import asyncio
import http
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

USAGE = {
    "total_tokens": 30,
    "input_tokens": 20,
    "output_tokens": 10,
    "input_token_details": {"cached_tokens": 8},
}


@dataclass
class RealtimeVendor:
    """A running vendor.

    `refusal`: status and body of the answer to an upgrade, in place of accepting it. `talk`: what
    it does in a session, in place of answering events. `gate`: responses wait for it;
    `door`: so do upgrades.
    """

    port: int = 0
    refusal: tuple | None = None
    talk: object = None
    requests: list = field(default_factory=list)
    received: list = field(default_factory=list)
    sessions: set = field(default_factory=set)
    closes: list = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    door: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def base_url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    def kill(self):
        """Cut every session, as a server that dies."""
        for session in list(self.sessions):
            session.transport.abort()


@asynccontextmanager
async def realtime_vendor(**options):
    """Serve a vendor on a free port."""
    vendor = RealtimeVendor(**options)
    vendor.gate.set()
    vendor.door.set()

    async def check(connection, request):
        vendor.requests.append(request)
        await vendor.door.wait()
        if vendor.refusal is not None:
            status, body = vendor.refusal
            answer = connection.respond(http.HTTPStatus(status), json.dumps(body))
            del answer.headers["Content-Type"]
            answer.headers["Content-Type"] = "application/json"
            return answer
        return None

    async def converse(session):
        vendor.sessions.add(session)
        try:
            await (vendor.talk or _answer_events)(vendor, session)
        except ConnectionClosed:
            pass
        finally:
            vendor.sessions.discard(session)
            vendor.closes.append((session.close_code, session.close_reason))

    async with serve(
        *(converse, "127.0.0.1", 0),
        process_request=check,
        subprotocols=None,
        select_subprotocol=lambda _, offered: "realtime" if "realtime" in offered else None,
        max_size=None,
        ping_interval=None,
    ) as server:
        vendor.port = server.sockets[0].getsockname()[1]
        yield vendor
        vendor.kill()


async def _answer_events(vendor, session):
    if "realtime" in session.request.path:
        await session.send(
            json.dumps({"type": "session.created", "event_id": "e1", "session": {"id": "sess_1"}})
        )
    async for message in session:
        vendor.received.append(message)
        if isinstance(message, bytes):
            await session.send(message)
            continue
        event = json.loads(message)
        if event["type"] == "response.create":
            await respond(vendor, session, event)
        else:
            await session.send(json.dumps({"type": "seen", "event_id": "e2", "of": event["type"]}))


async def respond(vendor, session, event):
    """Send the events of one response."""
    is_realtime = "realtime" in session.request.path
    made = {"id": "resp_1", "object": "response", "status": "in_progress", "output": []}
    made["model"] = event.get("model", "gpt-realtime")
    await session.send(json.dumps({"type": "response.created", "event_id": "e3", "response": made}))
    await vendor.gate.wait()
    delta = {"type": "response.output_text.delta", "event_id": "e4", "delta": "hello"}
    await session.send(json.dumps(delta))
    done = {**made, "status": "completed", "usage": USAGE}
    kind = "response.done" if is_realtime else "response.completed"
    await session.send(json.dumps({"type": kind, "event_id": "e5", "response": done}))


async def echo(vendor, session):
    """Send every frame back as it came."""
    async for message in session:
        vendor.received.append(message)
        await session.send(message)
