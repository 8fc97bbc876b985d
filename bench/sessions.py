"""WebSocket sessions: the memory of each, and the CPU of each frame that is relayed.

    python bench/sessions.py [--sessions 500] [--seconds 5]

Starts one proxy in front of an endpoint that sends every frame back, opens the sessions and sends
frames of 300 bytes (a piece of text) and of 13 KB (0.2 s of audio as base64) around. Needs no
tools, and prints its figures.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop
from processes import Started, free_port
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

CONFIG = """
model_groups:
- model_group: voice
  models:
  - name: echo
    params: {{base_url: "http://127.0.0.1:{port}/v1", api_key: sk-bench}}
general_settings: {{drain_delay_s: 0, drain_timeout_s: 1}}
"""
KINDS = {"300 B": b"x" * 300, "13 KB": b"x" * 13_000}
WINDOW = 4  # frames of a session that are on their way


class Echo(asyncio.Protocol):
    """The endpoint's end: every frame goes back, without being looked at again."""

    def __init__(self) -> None:
        self.protocol = ServerProtocol(max_size=None)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            if isinstance(event, Frame):
                if event.opcode is Opcode.TEXT:
                    self.protocol.send_frame(event)
            else:
                self.protocol.send_response(self.protocol.accept(event))
        self.transport.write(b"".join(self.protocol.data_to_send()))


class Client(asyncio.Protocol):
    """One session: it has WINDOW frames on their way while `payload` is set."""

    def __init__(self, url: str, opened: asyncio.Event) -> None:
        self.protocol: Protocol = ClientProtocol(parse_uri(url), max_size=None)
        self.opened = opened
        self.payload: bytes | None = None
        self.returned = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.protocol.send_request(self.protocol.connect())  # type: ignore[attr-defined]
        self._flush()

    def data_received(self, data: bytes) -> None:
        self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            if isinstance(event, Frame):
                self.returned += 1
                self.send()
            else:
                self.opened.set()
        self._flush()

    def send(self) -> None:
        if self.payload is not None:
            self.protocol.send_frame(Frame(Opcode.TEXT, self.payload))

    def begin(self, payload: bytes) -> None:
        self.payload = payload
        for _ in range(WINDOW):
            self.send()
        self._flush()

    def _flush(self) -> None:
        self.transport.write(b"".join(self.protocol.data_to_send()))


async def opened(count: int, port: int) -> list[Client]:
    """Open sessions, 20 at a time."""
    url = f"ws://127.0.0.1:{port}/v1/realtime?model=voice"
    loop = asyncio.get_running_loop()
    clients: list[Client] = []
    gate = asyncio.Semaphore(20)

    async def one() -> None:
        async with gate:
            event = asyncio.Event()
            client = Client(url, event)
            await loop.create_connection(lambda: client, "127.0.0.1", port)
            await asyncio.wait_for(event.wait(), 10)
            clients.append(client)

    await asyncio.gather(*(one() for _ in range(count)))
    return clients


async def measure(proxy: Started, clients: list[Client], payload: bytes, seconds: float) -> str:
    """Send frames around for a while; return what they cost."""
    before, cpu, began = (
        sum(client.returned for client in clients),
        proxy.cpu_us(),
        time.monotonic(),
    )
    for client in clients:
        client.begin(payload)
    await asyncio.sleep(seconds)
    relayed = 2 * (sum(client.returned for client in clients) - before)  # there and back
    took, used = time.monotonic() - began, proxy.cpu_us() - cpu
    for client in clients:
        client.payload = None
    await asyncio.sleep(0.5)
    return f"{relayed / took:,.0f} frames/s, {used / relayed:.1f} us of CPU per frame"


async def run(sessions: int, seconds: float) -> None:
    """Start everything, and print the figures."""
    loop = asyncio.get_running_loop()
    endpoint = await loop.create_server(Echo, "127.0.0.1", 0, backlog=1024)
    with tempfile.TemporaryDirectory() as folder:
        place, port = Path(folder), free_port()
        config = place / "config.yaml"
        config.write_text(CONFIG.format(port=endpoint.sockets[0].getsockname()[1]))
        llmproxy = str(Path(sys.executable).with_name("llmproxy"))
        command = [llmproxy, "serve", "--config", str(config), "--port", str(port)]
        with Started("llmproxy", command, core=1, log=place / "log") as proxy:
            await _answers(proxy, port)
            for client in await opened(50, port):  # what is made once is there now
                client.begin(KINDS["300 B"])
                client.payload = None
            await asyncio.sleep(1)
            idle = proxy.memory().rss
            clients = await opened(sessions, port)
            await asyncio.sleep(1)
            each = (proxy.memory().rss - idle) * 1000 / sessions
            print(f"{sessions} sessions open: {each:.1f} KB of memory each")
            for name, payload in KINDS.items():
                busy = clients[:64]
                print(f"frames of {name}: {await measure(proxy, busy, payload, seconds)}")
            each = (proxy.memory().rss - idle) * 1000 / sessions
            print(f"afterwards: {each:.1f} KB of memory each")
            assert all(client.protocol.state.name == "OPEN" for client in clients)
    endpoint.close()


async def _answers(proxy: Started, port: int) -> None:
    for _ in range(200):
        proxy.check_alive()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise SystemExit("the proxy did not start")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    uvloop.run(run(options.sessions, options.seconds))


if __name__ == "__main__":
    main()
