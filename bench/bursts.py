"""Bursts: N clients that connect and ask all at once, against nginx, LLMProxy and direct.

    python bench/bursts.py [--connections 512] [--rounds 5] [--only direct,nginx,llmproxy]

Prints in milliseconds, each a median over the rounds: when half, 99 % and all were answered, for
the first burst that a proxy sees (its connections to the vendor are new) and for the next ones. The
clock begins before the first connect, so accepting counts. A wrong answer ends the measurement.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, cast

import uvloop
from load import ANSWER_TIMEOUT_S, Address, chat_body, request_bytes
from processes import BenchError

if TYPE_CHECKING:
    from measure import Target

CONNECTIONS = 512
ROUNDS = 5
PAUSE_S = 0.3  # between bursts: connections of the last one are closed by then
NAMES = "direct,nginx,llmproxy"


@dataclass(frozen=True, slots=True)
class Answered:
    """Milliseconds from the beginning of a burst until so many of its calls were answered."""

    p50_ms: float
    p99_ms: float
    all_ms: float


def burst(address: Address, connections: int = CONNECTIONS) -> Answered:
    """Make so many calls at once, each on a new connection. Raises BenchError."""
    gc.collect()
    gc.disable()
    loop = uvloop.new_event_loop()
    try:
        work = asyncio.wait_for(_burst(address, connections), ANSWER_TIMEOUT_S)
        moments = sorted(loop.run_until_complete(work))
    except (OSError, TimeoutError) as error:
        raise BenchError(f"A burst of {connections} was not answered: {error!r}.") from error
    finally:
        gc.enable()
        loop.close()
    return Answered(moments[connections // 2], moments[connections * 99 // 100], moments[-1])


async def _burst(address: Address, connections: int) -> list[float]:
    loop = asyncio.get_running_loop()
    wire = request_bytes(address, chat_body(address.model, **address.more))
    began = time.monotonic()
    clients = [_Client(wire, loop.create_future()) for _ in range(connections)]
    opening = [
        loop.create_connection(lambda client=client: client, "127.0.0.1", address.port)
        for client in clients
    ]
    await asyncio.gather(*opening)
    answered = await asyncio.gather(*(client.answered_at for client in clients))
    for client in clients:
        client.transport.abort()
    return [(moment - began) * 1e3 for moment in answered]


class _Client(asyncio.Protocol):
    """One connection, which asks as soon as it is open."""

    def __init__(self, wire: bytes, answered_at: asyncio.Future[float]) -> None:
        self.wire = wire
        self.answered_at = answered_at
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self.wire)

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, gap, body = self.received.partition(b"\r\n\r\n")
        length = head.lower().partition(b"\r\ncontent-length:")[2].split(b"\r\n", 1)[0]
        if self.answered_at.done() or not gap:
            return
        if not head.startswith(b"HTTP/1.1 200") or not length:
            self.answered_at.set_exception(OSError(f"expected a 200, found {head[:200]!r}"))
        elif len(body) >= int(length):
            self.answered_at.set_result(time.monotonic())

    def connection_lost(self, _: Exception | None) -> None:
        if not self.answered_at.done():
            self.answered_at.set_exception(OSError("closed before the answer was complete"))


def bursts(target: Target, connections: int, rounds: int) -> tuple[list[Answered], list[Answered]]:
    """Return the first bursts and the next ones. A proxy is started anew for each round."""
    # Imported here, because run.py may call this module.
    from measure import first_answer  # noqa: PLC0415

    first, later = [], []
    for _ in range(rounds):
        with ExitStack() as stack:
            if target.start is not None:
                first_answer(target, stack.enter_context(target.fresh()))
                time.sleep(1.0)  # what a start leaves for later is done
            for number in range(3):
                (later if number else first).append(burst(target.chat, connections))
                time.sleep(PAUSE_S)
    return first, later


def row(name: str, answered: list[Answered]) -> str:
    """Return a line with the medians of a target."""
    p50, p99, last = (
        median(getattr(one, field) for one in answered) for field in ("p50_ms", "p99_ms", "all_ms")
    )
    return f"{name:24} {p50:8.0f} {p99:8.0f} {last:8.0f}"


def main() -> int:
    import run  # noqa: PLC0415 - it knows how the targets are started

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", default=NAMES, help=f"some of {NAMES}")
    options = parser.parse_args()
    proxy_core, load_core = run.two_cores()
    os.sched_setaffinity(0, {load_core})
    run.enough_open_files()
    run.WORK.mkdir(exist_ok=True)
    os.environ["XDG_STATE_HOME"] = str(run.STATE)
    print(f"{options.connections} at once, ms".ljust(24), "     p50      p99      all")
    with ExitStack() as stack:
        ports = run.vendors(stack, load_core)
        for target in run.ready(ports, options.only.split(","), proxy_core):
            first, later = bursts(target, options.connections, options.rounds)
            print(row(f"{target.name}, first", first))
            print(row(f"{target.name}, next", later), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
