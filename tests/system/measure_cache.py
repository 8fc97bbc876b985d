"""Measure the cache at full size; test_cache_store.py and others test it on a small scale.

python -m tests.system.measure_cache hits      1,000 hits a second, from memory and from Valkey
python -m tests.system.measure_cache memory    2 GB of distinct answers through 64 MB of memory
"""

import asyncio
import gc
import json
import sys
import tempfile
from pathlib import Path
from time import monotonic

from tests.support.cached import with_cache
from tests.support.client import ask, connect, question, request
from tests.support.process import running
from tests.support.run import bounded
from tests.support.valkey import valkey
from tests.support.vendor import chat, http, scripted
from tests.system.sharing import percentile

RATE, SECONDS, CONNECTIONS = 1_000, 20, 32
QUESTIONS = 4_000  # several times what 1 MiB of memory holds
MIB = 1024 * 1024
ANSWER_BYTES = 64_000
VOLUME_BYTES = 2_000_000_000
MEMORY_BYTES = 64 * MIB


def print_line(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def at_a_rate(port, bodies):
    """Send 1,000 calls a second at a fixed rate.

    Returns for each call the milliseconds since it was due, and the cache's result.
    """
    waiting = asyncio.Queue()
    took, words = [], []

    async def client():
        connection = await connect(port)
        while (due := await waiting.get()) is not None:
            moment, body = due
            await connection.send(body)
            reply = await connection.reply()
            took.append((monotonic() - moment) * 1000)
            words.append(reply.header("x-llmproxy-cache"))
        connection.leave()

    clients = [asyncio.create_task(client()) for _ in range(CONNECTIONS)]
    began_at = monotonic()
    for number, body in enumerate(bodies):
        due = began_at + number / RATE
        while monotonic() < due:
            await asyncio.sleep(0)
        waiting.put_nowait((due, body))
    for _ in clients:
        waiting.put_nowait(None)
    await asyncio.gather(*clients)
    return took, words


def echo(received, number):
    return [http(chat(json.loads(received.body)["messages"][0]["content"] * 40))]


def questions(count, size=1):
    for number in range(count):
        yield request(body=question(f"question {number % QUESTIONS} " * size, temperature=0))


async def hits(folder):
    """Measure hits at a fixed rate: the whole call, the client's part included."""
    gc.disable()  # a collection here would be counted as the proxy's
    async with valkey(folder) as server, scripted(echo) as vendor:
        config = with_cache(vendor, type="redis", max_bytes=256 * MIB)
        config["general_settings"]["redis_url"] = server.url
        async with running(folder / "direct", config=config) as proxy:
            took, words = await at_a_rate(vendor.port, questions(RATE * 5))
            report("the vendor itself", took, words)
            await at_a_rate(
                proxy.port, (request(body=question(f"{n}", seed=1)) for n in range(200))
            )
            took, words = await at_a_rate(proxy.port, questions(QUESTIONS))
            report("misses, kept in memory and in Valkey", took, words)
            took, words = await at_a_rate(proxy.port, questions(RATE * SECONDS))
            report("hits from memory", took, words)
        config["general_settings"]["cache_params"]["max_bytes"] = MIB
        async with running(folder / "behind", config=config) as proxy:
            took, words = await at_a_rate(proxy.port, questions(RATE * SECONDS))
            report("hits from Valkey", took, words)
            stats = (await ask(proxy.port, "/admin/cache", method="GET", host="localhost")).json
            behind = stats["second_level"]
            print_line(f"  read from Valkey: {behind['hits']:,} of {behind['reads']:,} asked for")


def report(what, took, words):
    counted = {word: words.count(word) for word in set(words)}
    p50, p99 = percentile(took, 0.5), percentile(took, 0.99)
    print_line(f"{what}: p50 {p50:.2f} ms, p99 {p99:.2f} ms, most {max(took):.2f} ms; {counted}")


async def memory(folder):
    """Measure the resident memory of a proxy while new answers evict the old ones."""
    answer = http(chat("y" * ANSWER_BYTES))
    count = VOLUME_BYTES // ANSWER_BYTES
    numbers = iter(range(count))
    done = 0

    async def client(port):
        nonlocal done
        connection = await connect(port)
        for number in numbers:
            await connection.send(request(body=question(f"question {number}", temperature=0)))
            assert (await connection.reply()).header("x-llmproxy-cache") == "miss"
            done += 1
        connection.leave()

    async with scripted(lambda received, number: [answer]) as vendor:
        config = with_cache(vendor, max_bytes=MEMORY_BYTES)
        async with running(folder / "proxy", config=config) as proxy:
            await ask(proxy.port, body=question("hello"))
            print_line(f"at the start: RSS {rss_mb(proxy.pid):.0f} MB")
            load = asyncio.gather(*(client(proxy.port) for _ in range(16)))
            most = 0.0
            for tenth in range(1, 11):
                while done < count * tenth // 10 and not load.done():
                    await asyncio.sleep(0.05)
                    most = max(most, rss_mb(proxy.pid))
                stats = (await ask(proxy.port, "/admin/cache", method="GET", host="localhost")).json
                kept = stats["memory"]
                print_line(
                    f"{done * ANSWER_BYTES / 1e9:.1f} GB: RSS {rss_mb(proxy.pid):.0f} MB, "
                    f"{kept['entries']} answers of {kept['bytes'] / MIB:.1f} MiB kept"
                )
            await load
            print_line(f"the most: RSS {most:.0f} MB")


def rss_mb(pid):
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


MEASURED = {"hits": hits, "memory": memory}


@bounded(600)
async def main(chosen):
    with tempfile.TemporaryDirectory() as folder:
        await MEASURED[chosen](Path(folder))


if __name__ == "__main__":
    if sys.argv[1:2] == [] or sys.argv[1] not in MEASURED:
        sys.exit(__doc__)
    main(sys.argv[1])
