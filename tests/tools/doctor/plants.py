"""Servers with one fault each, on loopback."""

import asyncio
import contextlib
import json
import socket
from contextlib import asynccontextmanager
from email.utils import formatdate

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "1 2 3"},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
}
LIMITS = {
    "x-ratelimit-limit-requests": "100",
    "x-ratelimit-remaining-requests": "99",
    "x-ratelimit-reset-requests": "1s",
}
EVENTS = [
    {"choices": [{"index": 0, "delta": {"content": f"{n} "}, "finish_reason": None}]}
    for n in range(12)
]


def reply(status, headers, body):
    """An HTTP answer, as bytes."""
    lines = [f"HTTP/1.1 {status} x", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


def whole(headers=LIMITS, *, body=None, kind="application/json"):
    """A complete answer to a chat, without a date: it may be sent much later."""
    body = json.dumps(ANSWER).encode() if body is None else body
    return reply(200, {"content-type": kind} | headers, body)


def events(count=12, *, done=True):
    """A stream of events."""
    told = [f"data: {json.dumps(event)}\n\n" for event in EVENTS[:count]]
    return [part.encode() for part in told] + ([b"data: [DONE]\n\n"] if done else [])


async def send_stream(writer, parts, *, pause_s=0.02):
    """Write a chunked stream."""
    head = "HTTP/1.1 200 x\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
    head += f"date: {formatdate(usegmt=True)}\r\n\r\n"
    writer.write(head.encode())
    for part in parts:
        writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        await writer.drain()
        await asyncio.sleep(pause_s)


async def answered_well(writer, request):
    """Answer a chat as a vendor does."""
    if request["stream"]:
        await send_stream(writer, events())
        writer.write(b"0\r\n\r\n")
    else:
        writer.write(whole(LIMITS | {"date": formatdate(usegmt=True)}))


@asynccontextmanager
async def vendor(answer=answered_well, *, tls=None):
    """A vendor without a list of models; `answer` writes the answers to chats. Yields its port."""

    async def serve(reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
                body = await reader.readexactly(length)
                if head.startswith(b"GET"):
                    writer.write(reply(404, {"content-type": "application/json"}, b"{}"))
                else:
                    await answer(writer, {"stream": False, **json.loads(body)})
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def silent_port():
    """A port whose queue of connections is full: the kernel answers no further one."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        with contextlib.ExitStack() as held:
            for _ in range(3):
                client = held.enter_context(socket.socket())
                client.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    client.connect(("127.0.0.1", port))
            yield port


@asynccontextmanager
async def relay(to_port, *, collects=False, delay_s=0.0, rewrite=bytes, rewrite_request=bytes):
    """A proxy in between: collects each answer, delays or rewrites each piece. Yields its port."""

    async def back(upstream, client):
        collected = b""
        while piece := await upstream.read(65536):
            await asyncio.sleep(delay_s)
            piece = rewrite(piece)
            if not collects:
                client.write(piece)
                continue
            collected += piece
            if collected.endswith((b"0\r\n\r\n", b"}")):
                client.write(collected)
                collected = b""
        client.close()

    async def serve(reader, writer):
        with contextlib.suppress(OSError):
            upstream, there = await asyncio.open_connection("127.0.0.1", to_port)
            returning = asyncio.create_task(back(upstream, writer))
            while piece := await reader.read(65536):
                there.write(rewrite_request(piece))
            there.close()
            await returning

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
