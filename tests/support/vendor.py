"""A scripted upstream: it records requests byte for byte, and answers with given bytes.

The simulator behaves like a vendor; this one plays a script, at any split of the bytes.
"""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Received:
    """One request as it was received."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int
    gone_at: float | None = None  # loop time at which the peer left before the answer was over

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name), None)


@dataclass
class Scripted:
    """A running vendor. `answer(received, number)` returns the steps of each answer.

    A step is bytes to write, seconds to pause, an asyncio.Event to wait for, or "close", "reset",
    "hang".
    """

    port: int
    answer: object
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    open_connections: int = 0

    @property
    def base_url(self):
        return f"http://127.0.0.1:{self.port}/v1"


def http(body=b"", *, status=200, headers=(), content_type="application/json", framed=True):
    """Return a whole response as bytes."""
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X".encode()]
    lines += [f"{name}: {value}".encode() for name, value in headers]
    if content_type:
        lines.append(b"content-type: " + content_type.encode())
    if framed:
        lines.append(b"content-length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def sse_head(headers=()):
    lines = [b"HTTP/1.1 200 OK", b"content-type: text/event-stream", b"transfer-encoding: chunked"]
    lines += [f"{name}: {value}".encode() for name, value in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


def event(value):
    data = value if isinstance(value, str) else json.dumps(value)
    return f"data: {data}\n\n".encode()


def delta(content=None, *, role=None, finish=None):
    """One chunk of a chat stream."""
    inside = {}
    if role:
        inside["role"] = role
    if content is not None:
        inside["content"] = content
    return event(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "gpt-4.1",
            "choices": [{"index": 0, "delta": inside, "finish_reason": finish}],
        }
    )


DONE = event("[DONE]")


def chat(content="hello", **extra):
    """A chat completion."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4.1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        **extra,
    }


def error_body(code, *, kind="invalid_request_error", message="no"):
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def always(*steps):
    """Give the same answer to every request."""
    return lambda received, number: steps


GOOD = always(http(chat("good")))
DOWN = always(http(error_body("server_error"), status=500))


@asynccontextmanager
async def scripted(answer, *, port=0, tls=None):
    """Serve a script. Port 0: any free port."""
    vendor = Scripted(port, answer)
    tasks = set()

    async def converse(reader, writer):
        vendor.connections += 1
        vendor.open_connections += 1
        number = vendor.connections
        try:
            while (received := await _read(reader, number)) is not None:
                vendor.received.append(received)
                steps = vendor.answer(received, len(vendor.received))
                if not await _play(steps, received, reader, writer):
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            vendor.open_connections -= 1
            writer.close()

    def accept(reader, writer):
        task = asyncio.ensure_future(converse(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", port, limit=2**22, ssl=tls)
    vendor.port = server.sockets[0].getsockname()[1]
    try:
        yield vendor
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read(reader, connection):
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    line, *lines = head[:-4].decode("latin-1").split("\r\n")
    headers = [tuple(part.strip() for part in field.split(":", 1)) for field in lines]
    received = Received(line, headers, b"", connection)
    length = received.header("content-length")
    if received.header("transfer-encoding"):
        received.body = await _read_chunks(reader)
    elif length:
        received.body = await reader.readexactly(int(length))
    return received


async def _read_chunks(reader):
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readline()
    return body


async def _play(steps, received, reader, writer):
    """Play the steps; return False when the connection is over. Records when the peer leaves."""
    leaving = asyncio.ensure_future(reader.read(1))
    loop = asyncio.get_running_loop()

    def left(task):
        if not task.cancelled() and (task.exception() is not None or task.result() == b""):
            received.gone_at = loop.time()

    leaving.add_done_callback(left)
    try:
        for step in steps:
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif isinstance(step, int | float):
                await asyncio.wait((leaving,), timeout=step)
            elif isinstance(step, asyncio.Event):
                await _either(leaving, step)
            elif step == "hang":
                await asyncio.wait((leaving,), timeout=60)
                return False
            elif step == "reset":
                writer.transport.abort()
                return False
            elif step == "close":
                return False
            if received.gone_at is not None:
                return False
        return True
    finally:
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)


async def _either(leaving, event):
    """Wait until the peer leaves or the event is set."""
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((leaving, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
