"""A raw HTTP client over a socket: it sends the given bytes and returns the received ones."""

import asyncio
import json
from dataclasses import dataclass


@dataclass
class Reply:
    """A whole response."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name):
        return next((value for key, value in self.headers if key == name), None)

    def all(self, name):
        return [value for key, value in self.headers if key == name]

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json["error"]


def request(
    path="/v1/chat/completions", body=b"", *, method="POST", headers=(), framed=True, host="test"
):
    """Return a request as bytes; a dict as body becomes JSON."""
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1".encode("latin-1"), b"host: " + host.encode()]
    given = {name.lower() for name, _ in headers}
    if body and "content-type" not in given:
        lines.append(b"content-type: application/json")
    lines += [f"{name}: {value}".encode("latin-1") for name, value in headers]
    if framed and (body or method == "POST"):
        lines.append(b"content-length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class Connection:
    """One client connection."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, *, head_only=False):
        """Read one response. Raises IncompleteReadError if it is truncated."""
        status, headers = await self.head()
        if head_only or status in (204, 304):
            return Reply(status, headers, b"")
        reply = Reply(status, headers, b"")
        if reply.header("transfer-encoding") == "chunked":
            while piece := await self.chunk():
                reply.body += piece
        elif (length := reply.header("content-length")) is not None:
            reply.body = await self.reader.readexactly(int(length))
        else:
            reply.body = await self.reader.read()
        return reply

    async def head(self):
        head = await self.reader.readuntil(b"\r\n\r\n")
        line, *lines = head[:-4].decode("latin-1").split("\r\n")
        headers = [
            (name.lower(), value.strip()) for name, value in (x.split(":", 1) for x in lines)
        ]
        return int(line.split(" ")[1]), headers

    async def chunk(self):
        size = int(await self.reader.readline(), 16)
        data = await self.reader.readexactly(size)
        await self.reader.readexactly(2)
        return data

    async def at_end(self):
        """Return whether the server has closed the connection."""
        return await self.reader.read(1) == b""

    def leave(self):
        self.writer.transport.abort()


_opened = []


async def connect(port):
    connection = Connection(*await asyncio.open_connection("127.0.0.1", port, limit=2**24))
    _opened.append(connection)
    return connection


async def close_all():
    """Close what a test has left open: uvloop refuses to end with open connections."""
    while _opened:
        _opened.pop().leave()
    await asyncio.sleep(0)


async def ask(port, *args, **kwargs):
    """Send one request on a connection of its own and return the reply."""
    connection = await connect(port)
    try:
        await connection.send(request(*args, **kwargs))
        return await asyncio.wait_for(connection.reply(), 60)
    finally:
        connection.leave()


HELLO = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hello"}]}
CHAT = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}]}
STREAM = {**CHAT, "stream": True}


def question(text, **extra):
    """Return a chat with this prompt."""
    return {**HELLO, "messages": [{"role": "user", "content": text}], **extra}


def question_in(received):
    """Return the prompt of a chat that a vendor received."""
    return json.loads(received.body)["messages"][0]["content"]


async def begin(port, body=HELLO, **options):
    """Send a call; return its connection without waiting for the reply."""
    connection = await connect(port)
    await connection.send(request(body=body, **options))
    return connection
