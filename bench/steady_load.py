"""A steady load for `store_outages.py`: a simulated vendor, and a client of the proxy before it.

    python bench/steady_load.py VENDOR_PORT PROXY_PORT CALLS_PER_S

An open loop over keep-alive connections; every third call is a stream. One line on stdout for each
call: when it was due (Unix time), its milliseconds from then on, its id, and what went wrong ("-":
nothing). SIGTERM ends it, after the calls that are under way.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
import signal
import sys
import time
from collections import deque
from pathlib import Path
from typing import cast

from load import Address, chat_body, request_bytes
from upstream import ANSWER, CONTENT, FINISH, ROLE, chunked, whole_body

MODEL = "bench"
CONNECTIONS = 16
STREAM_EVERY = 3
EVENTS = 10  # of a stream, each in a write of its own
TIMEOUT_S = 20.0
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":190,"completion_tokens":10}}\n\n'
WHOLE = (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b") % (
    len(ANSWER),
    ANSWER.encode(),
)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Vendor(asyncio.Protocol):
    """One connection to the vendor, which answers at once."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        body = whole_body(self.received)
        if body is None:
            return
        self.received = b""
        if b'"stream": true' in body:
            self.transport.write(HEAD + ROLE)
            self.loop.call_soon(self.speak, EVENTS)
        else:
            self.transport.write(WHOLE)

    def speak(self, left: int) -> None:
        if left:
            self.transport.write(CONTENT)
            self.loop.call_soon(self.speak, left - 1)
        else:
            self.transport.write(chunked(USAGE) + FINISH)


class Client(asyncio.Protocol):
    """One connection to the proxy, with at most one call under way."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.received = b""
        self.due: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.load.is_free(self)

    def connection_lost(self, _: Exception | None) -> None:
        if self.due is not None:
            self.finish("the connection was closed")
        self.load.lost(self)

    def call(self, due: float) -> None:
        self.due = due
        self.received = b""
        self.transport.write(self.load.next_request())

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, gap, body = self.received.partition(b"\r\n\r\n")
        if not gap or self.due is None:
            return
        if value := header(head, b"content-length"):
            complete, good = len(body) >= int(value), body == ANSWER.encode()
        else:
            complete = body.endswith(b"\r\n0\r\n\r\n")
            good = body.count(b'" word"') == EVENTS and b"data: [DONE]" in body
        if complete:
            status = head[9:12].decode()
            self.finish("-" if good and status == "200" else f"{status} {body[:100]!r}")
            self.load.is_free(self)

    def finish(self, wrong: str) -> None:
        due, self.due = self.due, None
        head = self.received.partition(b"\r\n\r\n")[0]
        id = header(head, b"x-request-id").decode() or "-"
        if due is not None:
            self.load.report(due, id, wrong)


class Load:
    """The plan: what is due, which connections are free, and what came of it."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.ends = False
        self.under_way = 0
        self._sent = 0
        self._requests = [
            request_bytes(address, chat_body(MODEL, **({"stream": True} if stream else {})))
            for stream in (False, True)
        ]
        self._free: deque[Client] = deque()
        self._waiting: deque[float] = deque()
        self._offset = time.time() - time.monotonic()

    async def run(self, calls_per_s: float) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, setattr, self, "ends", True)
        for _ in range(CONNECTIONS):
            await self._connect()
        due = time.monotonic()
        while not self.ends:
            due += 1 / calls_per_s
            if (early := due - time.monotonic()) > 0:
                await asyncio.sleep(early)
            self.under_way += 1
            self._waiting.append(due)
            self._send()
        give_up_at = time.monotonic() + TIMEOUT_S
        while self.under_way and time.monotonic() < give_up_at:  # noqa: ASYNC110 - it may never end
            await asyncio.sleep(0.01)
        for due in self._waiting:
            self.report(due, "-", "no connection was free")

    def is_free(self, client: Client) -> None:
        self._free.append(client)
        self._send()

    def lost(self, client: Client) -> None:
        if client in self._free:
            self._free.remove(client)
        if not self.ends:
            asyncio.get_running_loop().create_task(self._connect())

    def next_request(self) -> bytes:
        self._sent += 1
        return self._requests[self._sent % STREAM_EVERY == 0]

    def report(self, due: float, id: str, wrong: str) -> None:
        self.under_way -= 1
        took_ms = (time.monotonic() - due) * 1000
        sys.stdout.write(f"{due + self._offset:.6f} {took_ms:.3f} {id} {wrong}\n")

    def _send(self) -> None:
        while self._waiting and self._free:
            self._free.popleft().call(self._waiting.popleft())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        give_up_at = time.monotonic() + TIMEOUT_S
        while True:
            try:
                await loop.create_connection(lambda: Client(self), "127.0.0.1", self.address.port)
            except OSError:
                if time.monotonic() > give_up_at:
                    raise
                await asyncio.sleep(0.05)
            else:
                return


def header(head: bytes, name: bytes) -> bytes:
    return head.lower().partition(b"\r\n" + name + b":")[2].split(b"\r\n", 1)[0].strip()


async def main(vendor_port: int, proxy_port: int, calls_per_s: float) -> None:
    vendor = await asyncio.get_running_loop().create_server(Vendor, "127.0.0.1", vendor_port)
    async with vendor:
        await Load(Address(proxy_port, MODEL)).run(calls_per_s)


if __name__ == "__main__":
    # epoll rounds timers up to whole milliseconds; select(2) takes microseconds, without slack.
    Path("/proc/self/timerslack_ns").write_text("1")
    gc.disable()
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    loop.run_until_complete(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
