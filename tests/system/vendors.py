"""Fake vendors that count what they serve, can fail in four ways, and recover.

An answer is made from the mark that its request carries. One that is incomplete, or belongs to
another call, does not equal what the client expects.
"""

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager

from tests.support.vendor import (
    DONE,
    LAST_CHUNK,
    chat,
    chunk,
    delta,
    error_body,
    http,
    scripted,
    sse_head,
)

WORDS = 5  # content events of a streamed answer
FAULTS = {
    "connections refused": ["close"],
    "500s": [http(error_body("server_error", kind="server_error"), status=500)],
    "resets": ["reset"],
    "stalls": ["hang"],
}


def request_for(mark, *, group, stream):
    """Return a request whose answer is known."""
    return {"model": group, "messages": [{"role": "user", "content": mark}], "stream": stream}


def expected_answer(mark, *, stream):
    """Return the body of the answer, byte for byte."""
    return b"".join(_events(mark)) if stream else json.dumps(chat(mark)).encode()


def _events(mark):
    words = [delta(f"{mark} {number}") for number in range(WORDS)]
    return [delta(role="assistant"), *words, delta(finish="stop"), DONE]


class Vendor:
    """One upstream. `fault` is one of `FAULTS`, or None.

    A fault affects every answer that has no content yet. Later ones are completed, since no proxy
    could repair them.
    """

    def __init__(self, *, latency_s):
        self.fault = None
        self.served = 0
        self.failed = 0
        self._speaking = 0  # answers that have content, and are not yet complete
        self._latency_s = latency_s
        self._open = None
        self._scripted = None

    @property
    def base_url(self):
        return self._scripted.base_url

    async def listen(self):
        """Accept connections; when called again, on the same port as before."""
        port = self._scripted.port if self._scripted else 0
        self._open = AsyncExitStack()
        self._scripted = await self._open.enter_async_context(scripted(self._answer, port=port))

    async def hang_up(self):
        """Close every connection and the listener: the kernel refuses new connections."""
        if self._open is not None:
            await self._open.aclose()
            self._open = None

    async def begin_fault(self, fault):
        """Begin to fail. Returns when every new call is affected."""
        self.fault = fault
        if fault == "connections refused":
            await asyncio.sleep(2 * self._latency_s)
            while self._speaking:
                await asyncio.sleep(0.005)
            await self.hang_up()

    async def recover(self):
        """Serve again, on the same port."""
        self.fault = None
        if self._open is None:
            await self.listen()

    def _answer(self, received, _number):
        self._scripted.received.clear()  # thousands of requests would fill our memory
        request = json.loads(received.body)
        mark = request["messages"][0]["content"]
        return self._stream(mark) if request.get("stream") else self._unary(mark)

    def _unary(self, mark):
        yield self._latency_s
        if self.fault is None:
            self.served += 1
            yield http(expected_answer(mark, stream=False))
        else:
            self.failed += 1
            yield from FAULTS[self.fault]

    def _stream(self, mark):
        preamble, *rest = map(chunk, _events(mark))
        begun = self.fault in (None, "resets", "stalls")
        if begun:
            yield sse_head() + preamble
        yield self._latency_s
        if self.fault is None and begun:
            self.served += 1
            self._speaking += 1
            yield b"".join(rest[:2])
            yield self._latency_s / 4
            yield b"".join(rest[2:]) + LAST_CHUNK
            self._speaking -= 1
        elif self.fault in ("resets", "stalls") or not begun:
            self.failed += 1
            yield from FAULTS[self.fault or "resets"]
        else:
            self.failed += 1
            yield "close"


@asynccontextmanager
async def vendors(count, *, latency_s=0.0):
    """Serve `count` healthy vendors."""
    made = [Vendor(latency_s=latency_s) for _ in range(count)]
    try:
        for vendor in made:
            await vendor.listen()
        yield made
    finally:
        for vendor in made:
            await vendor.hang_up()


def group_of(members, *, group="gpt-4.1", weights=(3, 2, 1)):
    """Return a model group; its endpoints are named by their weights: w3, w2, w1."""
    return {
        "model_group": group,
        "models": [
            {
                "name": f"w{weight}",
                "model": group,
                "weight": weight,
                "params": {"base_url": vendor.base_url, "api_key": "sk-upstream"},
            }
            for vendor, weight in zip(members, weights, strict=True)
        ],
    }
