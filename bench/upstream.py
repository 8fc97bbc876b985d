"""A vendor of streams that is never the bottleneck: paced server-sent events, chunk by chunk.

Answers a POST with `bench [CHUNKS, INTERVAL_MS]` in its body with a chat stream in exact chunked
encoding: a role-only event, so many content events at that pace, then a finish event and [DONE].
Streams are spread over the interval, so they do not all speak at once, and in the same way in
every run. A POST without it gets a whole answer, and a GET the list of models, by which other
gateways look after their endpoints. It is the benchmark's, not the simulator.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import cast

import uvloop

ANSWER = json.dumps(  # what every vendor of whole answers says: 0.6 kB
    {
        "id": "chatcmpl-BenchBenchBenchBenchBenchBe",
        "object": "chat.completion",
        "created": 1763870000,
        "model": "gpt-4.1-2025-04-14",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "A gateway stands between. " * 8},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 190,
            "completion_tokens": 36,
            "total_tokens": 226,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
        "system_fingerprint": "fp_0123456789",
    },
    separators=(",", ":"),
)


def event(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    chunk = {
        "id": "chatcmpl-BenchBenchBenchBenchBenchBe",
        "object": "chat.completion.chunk",
        "created": 1763870000,
        "model": "gpt-4.1-2025-04-14",
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
        "choices": [choice],
    }
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def chunked(piece: bytes) -> bytes:
    """One chunk of RFC 9112, section 7.1."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"x-request-id: req_bench\r\nopenai-processing-ms: 12\r\ntransfer-encoding: chunked\r\n\r\n"
)
WHOLE_HEAD = HEAD.partition(b"content-type")[0] + b"content-type: application/json\r\n"
ROLE = chunked(event({"role": "assistant", "content": ""}))
CONTENT = chunked(event({"content": " word"}))
FINISH = chunked(event({}, "stop")) + chunked(b"data: [DONE]\n\n") + chunked(b"")
MODELS = b'{"object":"list","data":[{"id":"gpt-4.1","object":"model","owned_by":"bench"}]}'
# LLMProxy opens at most 4,096 connections to one address.
ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
AROUND = 3  # events besides the content: role, finish, [DONE]
PACE = re.compile(rb'bench"?:? ?\[(\d+), ?(\d+)\]')  # a member of the body, or text in one
GOLDEN = 0.6180339887  # fractional multiples of it spread evenly, however many there are


def whole(body: bytes) -> bytes:
    return b"%bcontent-length: %d\r\n\r\n%b" % (WHOLE_HEAD, len(body), body)


def whole_body(received: bytes) -> bytes | None:
    """Return the body of a request; None if it has not come to its end."""
    head, gap, body = received.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
    return body if gap and len(body) >= int(length or 0) else None


class Stream(asyncio.Protocol):
    """One connection: reads a request, speaks at its pace, then waits for the next request."""

    opened = 0  # of all connections; gives each stream its own place within the interval

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.received = b""
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it

    def connection_lost(self, _: Exception | None) -> None:
        if self.timer:
            self.timer.cancel()

    def data_received(self, data: bytes) -> None:
        self.received += data
        body = whole_body(self.received)
        if body is None:
            return
        asked, self.received = self.received, b""
        pace = PACE.search(body)
        if pace is None:
            self.transport.write(whole(MODELS if asked.startswith(b"GET ") else ANSWER.encode()))
            return
        self.left = int(pace[1])
        self.interval_s = int(pace[2]) / 1000
        Stream.opened += 1
        self.due = self.loop.time() + (Stream.opened * GOLDEN % 1) * self.interval_s
        self.transport.write(HEAD + ROLE)
        self.timer = self.loop.call_at(self.due, self.speak)

    def speak(self) -> None:
        if not self.left:
            self.transport.write(FINISH)
            return
        self.left -= 1
        self.transport.write(CONTENT)
        self.due += self.interval_s  # from the plan, not from now: the pace does not drift
        self.timer = self.loop.call_at(self.due, self.speak)


async def serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Stream, ADDRESSES, port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
