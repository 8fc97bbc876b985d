"""Load: wrk at full speed, a paced open-loop generator, and many open streams.

All of it checks what it gets: a wrong status, a short answer or a stream that breaks is an error,
never a fast result. Clients run on the load core, in this process or in wrk's.
"""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import selectors
import socket
import subprocess
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar, cast

import uvloop
from processes import BenchError, Started, find_tool
from upstream import AROUND

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

T = TypeVar("T")
PATH = "/v1/chat/completions"
CONNECT_BATCH = 50  # connections opened at once, so that no listen queue overflows
ANSWER_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where a kind of call goes: a loopback port and the model's name there; and how it is asked.

    `more`: members of the body beside those of every request.
    """

    port: int
    model: str
    key: str = "sk-client"
    more: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Burst:
    """What one run of wrk measured."""

    requests: int
    seconds: float
    p50_us: float
    p99_us: float


def chat_body(model: str, **more: object) -> bytes:
    """A chat request of 1 kB."""
    said = "Explain in plain words what a reverse proxy does and when one is of use. "
    body = {
        "model": model,
        "temperature": 0.2,
        "messages": [
            {"role": "system", "content": "You are a patient teacher of computer networks."},
            {"role": "user", "content": (said * 13)[:888]},
        ],
        **more,
    }
    return json.dumps(body).encode()


@contextmanager
def watching(address: Address, count: int) -> Iterator[None]:
    """So many dashboards follow the proxy's events until the block ends."""
    sockets = [socket.create_connection(("127.0.0.1", address.port)) for _ in range(count)]
    threads = [Thread(target=_read_on, args=(connection,)) for connection in sockets]
    for connection, thread in zip(sockets, threads, strict=True):
        connection.sendall(b"GET /admin/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
        if not connection.recv(4096).startswith(b"HTTP/1.1 200"):
            raise BenchError("The proxy does not answer dashboards with events.")
        thread.start()
    try:
        yield
    finally:
        for connection, thread in zip(sockets, threads, strict=True):
            connection.shutdown(socket.SHUT_RDWR)
            thread.join()
            connection.close()


def _read_on(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def ask(address: Address, *, timeout_s: float = 5.0) -> tuple[int, bytes]:
    """Make one whole call. Raises OSError or HTTPException without an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=timeout_s)
    try:
        headers = {"content-type": "application/json", "authorization": f"Bearer {address.key}"}
        body = chat_body(address.model, **address.more)
        connection.request("POST", PATH, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def until_listening(address: Address, process: Started, *, timeout_s: float = 5.0) -> None:
    """Return when the address accepts connections."""
    give_up_at = time.monotonic() + timeout_s
    while True:
        process.check_alive()
        try:
            socket.create_connection(("127.0.0.1", address.port), timeout=1.0).close()
        except OSError as error:
            if time.monotonic() > give_up_at:
                raise BenchError(f"{process.name} does not listen: {error}") from error
            time.sleep(0.01)
        else:
            return


def wrk(
    address: Address, *, connections: int, seconds: float, work: Path, core: int, new: bool = False
) -> Burst:
    """Run wrk at full speed, one thread; it takes whole seconds only. `new`: no two requests ask
    the same."""
    body = work / f"body-{address.model}.json"
    body.write_bytes(chat_body(address.model, **address.more))
    command = ["taskset", "-c", str(core), find_tool("wrk") or "wrk", "-t1", f"-c{connections}"]
    command += [f"-d{max(1, round(seconds))}s", "--timeout", "10s"]
    command += ["-s", str(Path(__file__).with_name("chat.lua"))]
    command += [f"http://127.0.0.1:{address.port}{PATH}", "--", str(body), address.key]
    command += ["new"] if new else []
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + 30, check=False
    )
    figures = [line for line in done.stdout.splitlines() if line.startswith("FIGURES")]
    if done.returncode or not figures:
        raise BenchError(f"wrk failed ({done.returncode}): {done.stdout}{done.stderr}")
    requests, duration_us, p50_us, p99_us, errors = map(int, figures[0].split()[1:])
    if errors or not requests:
        raise BenchError(f"wrk saw {errors} errors in {requests} answers: {done.stdout}")
    return Burst(requests, duration_us / 1e6, p50_us, p99_us)


def paced(address: Address, *, connections: int, rate: float, seconds: float) -> list[float]:
    """Latencies in us of an open loop: one request every 1/rate s, whatever comes back.

    A latency begins when the request was due, so one that had to wait for a free connection (or
    for a late generator) counts its wait: no coordinated omission.
    """
    # uvloop and epoll round timers up to whole milliseconds; select(2) takes microseconds, if
    # the kernel does not add its usual 50 us of slack.
    Path("/proc/self/timerslack_ns").write_text("1")
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    pace = Pace(connections, rate)
    gc.collect()
    gc.disable()
    try:
        work = pace.run(address, round(rate * seconds))
        return loop.run_until_complete(asyncio.wait_for(work, seconds + 4 * ANSWER_TIMEOUT_S))
    finally:
        gc.enable()
        loop.close()


class Pace:
    """The plan of an open loop: who is free, what waits, what was measured."""

    def __init__(self, connections: int, rate: float) -> None:
        self.connections = connections
        self.rate = rate
        self.free: deque[PacedConnection] = deque()
        self.waiting: deque[float] = deque()
        self.latencies_us: list[float] = []
        self.broken: str = ""

    async def run(self, address: Address, total: int) -> list[float]:
        loop = asyncio.get_running_loop()
        wire = request_bytes(address, chat_body(address.model, **address.more))
        for _ in range(self.connections):
            await loop.create_connection(
                lambda: PacedConnection(self, wire), "127.0.0.1", address.port
            )
        everybody = list(self.free)
        for _ in everybody:  # all at once: the proxy opens its upstream connections now
            self.begin(loop.time())
        await self.finished(len(everybody))
        self.latencies_us.clear()
        first_due = loop.time() + 0.05
        for number in range(total):
            due = first_due + number / self.rate
            if (early := due - loop.time()) > 0:
                await asyncio.sleep(early)
            self.begin(due)
        await self.finished(total)
        for connection in everybody:
            connection.transport.abort()
        return self.latencies_us

    def begin(self, due: float) -> None:
        if self.free:
            self.free.popleft().send(due)
        else:
            self.waiting.append(due)

    def answered(self, connection: PacedConnection, latency_s: float) -> None:
        self.latencies_us.append(latency_s * 1e6)
        if self.waiting:
            connection.send(self.waiting.popleft())
        else:
            self.free.append(connection)

    async def finished(self, total: int) -> None:
        give_up_at = time.monotonic() + ANSWER_TIMEOUT_S
        while len(self.latencies_us) < total:
            if self.broken or time.monotonic() > give_up_at:
                got = len(self.latencies_us)
                raise BenchError(f"paced load: {got} of {total} answers. {self.broken}")
            await asyncio.sleep(0.01)


class PacedConnection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self, pace: Pace, wire: bytes) -> None:
        self.pace = pace
        self.wire = wire
        self.received = b""
        self.due: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        self.pace.free.append(self)

    def connection_lost(self, _: Exception | None) -> None:
        if self.due is not None:
            self.pace.broken = "A connection was closed before its answer was complete."

    def send(self, due: float) -> None:
        self.due = due
        self.transport.write(self.wire)

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, gap, body = self.received.partition(b"\r\n\r\n")
        if not gap:
            return
        length = head.lower().partition(b"\r\ncontent-length:")[2].split(b"\r\n", 1)[0]
        if not head.startswith(b"HTTP/1.1 200") or not length or self.due is None:
            self.pace.broken = f"Expected a 200 with a content-length, found {head[:200]!r}."
        elif len(body) >= int(length):
            latency_s, self.due, self.received = time.monotonic() - self.due, None, b""
            self.pace.answered(self, latency_s)


class Streams:
    """Many open streams and what has come over them so far.

    The upstream speaks `chunks` content events on each, one every `interval_ms`.
    """

    def __init__(self, address: Address, *, count: int, chunks: int, interval_ms: int) -> None:
        self.address = address
        self.count = count
        self.chunks = chunks
        self.interval_ms = interval_ms
        self.relayed = 0  # events of all streams
        self.open: list[StreamConnection] = []

    async def start(self, within_s: float = ANSWER_TIMEOUT_S) -> None:
        """Open all; returns when each one has brought its first events."""
        loop = asyncio.get_running_loop()
        bench = [self.chunks, self.interval_ms]
        body = chat_body(self.address.model, stream=True, user=f"bench {bench}")
        wire = request_bytes(self.address, body)
        for number in range(self.count):
            _, stream = await loop.create_connection(
                lambda: StreamConnection(self, wire), "127.0.0.1", self.address.port
            )
            self.open.append(stream)
            if number % CONNECT_BATCH == CONNECT_BATCH - 1:
                await asyncio.sleep(0.02)
        await self._until(lambda stream: stream.events > 1, within_s, "first events")

    async def finish(self) -> None:
        """Wait for every [DONE] and see that nothing was lost on the way."""
        await self.until_done()
        expected = self.chunks + AROUND
        if wrong := [stream.events for stream in self.open if stream.events != expected]:
            raise BenchError(f"Expected {expected} events on each stream, found {wrong[:5]}.")

    async def until_done(self) -> None:
        """Wait for every [DONE]."""
        rest_s = self.chunks * self.interval_ms / 1000 + ANSWER_TIMEOUT_S
        await self._until(lambda stream: stream.finished, rest_s, "the end of every stream")

    def close(self) -> None:
        for stream in self.open:
            stream.transport.abort()

    async def _until(self, done: Any, seconds: float, what: str) -> None:
        give_up_at = time.monotonic() + seconds
        while not all(done(stream) for stream in self.open):
            broken = [stream for stream in self.open if stream.broken]
            if broken or time.monotonic() > give_up_at:
                shown = (broken or self.open)[0].head
                found = f"{len(broken)} were refused or closed early; one said {shown!r}"
                raise BenchError(f"Waited for {what} of {self.count} streams: {found}.")
            await asyncio.sleep(0.05)


class StreamConnection(asyncio.Protocol):
    """One stream: counts its events and notices its end."""

    def __init__(self, owner: Streams, wire: bytes) -> None:
        self.owner = owner
        self.wire = wire
        self.events = 0
        self.carry = b""  # an event's name may be split between two reads
        self.head = b""
        self.finished = False
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        transport.write(self.wire)

    def connection_lost(self, _: Exception | None) -> None:
        self.closed = True

    @property
    def broken(self) -> bool:
        refused = self.head and not self.head.startswith(b"HTTP/1.1 200")
        return bool(refused) or (self.closed and not self.finished)

    def data_received(self, data: bytes) -> None:
        self.head = self.head or data[:500]
        text = self.carry + data
        found = text.count(b"data: ")
        self.events += found
        self.owner.relayed += found
        self.carry = text[-5:]
        if b"[DONE]" in text:
            self.finished = True


def request_bytes(address: Address, body: bytes) -> bytes:
    return (
        b"POST %b HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: application/json\r\n"
        b"accept: application/json\r\nuser-agent: OpenAI/Python 3.54.0\r\n"
        b"authorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b"
    ) % (PATH.encode(), address.port, address.key.encode(), len(body), body)


def on_uvloop(work: Coroutine[Any, Any, T]) -> T:
    """Run the streams' side: many connections, where the loop's own cost counts."""
    return uvloop.run(work)
