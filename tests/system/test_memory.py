"""Memory stays bounded: under big bodies, aborted streams, clients that do not read, many streams.

What is measured is the resident memory of the proxy's own process, after a warm-up.
"""

import asyncio
import json

from tests.support.client import CHAT, STREAM, ask, connect, request
from tests.support.examples import THOROUGH
from tests.support.process import LLMPROXY, running
from tests.support.run import bounded
from tests.support.vendor import (
    DONE,
    LAST_CHUNK,
    chat,
    chunk,
    delta,
    http,
    scripted,
    sse_head,
)
from tests.support.waiting import until
from tests.system.vendors import group_of

BIG = {**CHAT, "messages": [{"role": "user", "content": "x" * 200_000}]}
BIG_ANSWER = http(chat("y" * 200_000))
CALLS, ABORTED = 3_000 if THOROUGH else 1_000, 300
MAY_GROW_KIB = 8 * 1024  # fragmentation of the allocator; one kept body per call would be 200 MiB
STALLED = 150  # so many that what the first stream makes once, some 2 MiB, hardly counts
OPEN_STREAMS = 500


def config_for(vendor):
    """A group with one endpoint. No store: its driver is loaded when the first call is over."""
    groups = [group_of([vendor], weights=[1])]
    return {"model_groups": groups, "general_settings": {"database_url": "off"}}


async def make_calls(port, count, *, clients=8):
    """Make big calls; check that every answer is complete."""
    sent = request(body=BIG)
    numbers = iter(range(count))

    async def client():
        connection = await connect(port)
        for _ in numbers:
            await connection.send(sent)
            status, headers = await connection.head()
            length = int(dict(headers)["content-length"])
            assert status == 200
            assert len(await connection.reader.readexactly(length)) > 200_000
        connection.leave()

    await asyncio.gather(*(client() for _ in range(clients)))


async def abort_streams(port, count):
    """Make streams and leave them after the first event."""
    for _ in range(count // 10):
        connections = [await connect(port) for _ in range(10)]
        for connection in connections:
            await connection.send(request(body=STREAM))
        for connection in connections:
            await connection.head()
            assert await connection.chunk() == delta("one")
            connection.leave()


@bounded()
async def test_neither_big_bodies_nor_aborted_streams_remain_in_memory(tmp_path):
    gone = []

    def answer(received, _number):
        vendor.received.clear()
        if b'"stream": true' not in received.body:
            return [BIG_ANSWER]
        gone.append(received)
        return [sse_head(), chunk(delta("one")), "hang"]

    async with scripted(answer) as vendor:
        async with running(tmp_path, config=config_for(vendor), program=[LLMPROXY]) as proxy:
            await make_calls(proxy.port, CALLS // 10)
            await abort_streams(proxy.port, ABORTED // 10)
            before_kib = await proxy.settled_kib()
            await make_calls(proxy.port, CALLS)
            await abort_streams(proxy.port, ABORTED)
            lines = await proxy.logged(CALLS + ABORTED + CALLS // 10 + ABORTED // 10)
            grown_kib = proxy.resident_kib() - before_kib
            await until(lambda: all(received.gone_at for received in gone))

    assert grown_kib < MAY_GROW_KIB
    assert sum(line["status"] == 499 for line in lines) == len(gone)


async def held_by_stalled_clients(folder):
    """Return the KiB that the proxy holds per client that does not read its endless stream."""
    piece = chunk(delta("z" * 16_000))
    pieces = 0

    def answer(received, _number):
        nonlocal pieces
        if b'"stream": true' not in received.body:
            yield http(chat("not slowed"))
            return
        yield sse_head()
        while True:
            yield piece
            pieces += 1

    async with scripted(answer) as vendor:
        async with running(folder, config=config_for(vendor), program=[LLMPROXY]) as proxy:
            assert (await ask(proxy.port, body=CHAT)).status == 200
            before_kib = await proxy.settled_kib()
            stalled = [await _stalled_connection(proxy.port) for _ in range(STALLED)]
            pieces_before = -1
            while pieces > pieces_before:  # until the kernel's buffers are full, too
                pieces_before = pieces
                await asyncio.sleep(0.5)
            assert pieces > STALLED
            held_kib = (proxy.resident_kib() - before_kib) / STALLED
            assert (await ask(proxy.port, body=CHAT)).json == chat("not slowed")
            for client in stalled:
                client.leave()
    return held_kib


async def _stalled_connection(port):
    client = await connect(port)
    client.writer.transport.pause_reading()
    await client.send(request(body=STREAM))
    return client


@bounded()
async def test_a_client_that_does_not_read_pauses_only_its_own_upstream_and_costs_little(tmp_path):
    assert await held_by_stalled_clients(tmp_path) < 256


@bounded()
async def test_500_open_streams_are_all_completed(tmp_path):
    go_on = asyncio.Event()

    def answer(received, _number):
        mark = json.loads(received.body)["messages"][0]["content"]
        yield sse_head() + chunk(delta(mark))
        while not go_on.is_set():
            yield 0.05
        yield chunk(delta(f"{mark} end")) + chunk(DONE) + LAST_CHUNK

    async with scripted(answer) as vendor:
        async with running(tmp_path, config=config_for(vendor), program=[LLMPROXY]) as proxy:
            before_kib = await proxy.settled_kib()
            streams = [await connect(proxy.port) for _ in range(OPEN_STREAMS)]
            for number, stream in enumerate(streams):
                messages = [{"role": "user", "content": f"stream {number}"}]
                await stream.send(request(body={**STREAM, "messages": messages}))
            for number, stream in enumerate(streams):
                status, _ = await stream.head()
                assert status == 200
                assert await stream.chunk() == delta(f"stream {number}")
            each_kib = (proxy.resident_kib() - before_kib) / OPEN_STREAMS
            go_on.set()
            for number, stream in enumerate(streams):
                rest = await stream.chunk()
                while piece := await stream.chunk():
                    rest += piece
                assert rest == delta(f"stream {number} end") + DONE

    assert each_kib < 80  # 1,000 streams and 80 MB at rest make the 160 MB that are promised
