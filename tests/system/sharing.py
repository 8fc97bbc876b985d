"""Several proxies that share one Valkey and the same endpoints, under a steady load."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from time import monotonic

from tests.support.client import CHAT, ask, connect, request
from tests.support.process import running
from tests.support.vendor import Received, chat, error_body, http, scripted

GROUP = "gpt-4.1"
ANSWER = http(chat())
REFUSAL = http(error_body("rate_limit_exceeded"), status=429, headers=[("retry-after", "5")])
CALLS_PER_CLIENT_S = 25


@dataclass
class Account:
    """A vendor without limit headers that records when it was called. A call lasts `lasts_s`."""

    name: str
    lasts_s: float = 0.0
    throttles: bool = False
    received: list[Received] = field(default_factory=list)
    asked_at: list[float] = field(default_factory=list)
    base_url: str = ""

    def answer(self, received, number):
        self.received.append(received)
        self.asked_at.append(monotonic())
        steps = (self.lasts_s,) if self.lasts_s else ()
        return (*steps, REFUSAL if self.throttles else ANSWER)

    @property
    def abandoned(self):
        """How many calls their client gave up."""
        return sum(received.gone_at is not None for received in self.received)

    def within(self, since, seconds):
        """Return how many calls arrived within so many seconds after a time."""
        return sum(since < moment <= since + seconds for moment in self.asked_at)

    def entry(self, **more):
        """Return the group's entry for this account."""
        params = {"base_url": self.base_url, "api_key": "sk-upstream"}
        return {"name": self.name, "model": GROUP, "params": params, **more}


def most_within(seconds, moments):
    """Return the highest number of moments (in order) within any span of so many seconds."""
    most = begin = 0
    for end, moment in enumerate(moments):
        while moments[begin] <= moment - seconds:
            begin += 1
        most = max(most, end - begin + 1)
    return most


@asynccontextmanager
async def accounts(*names, lasts_s=0.0):
    """Serve vendors with these names."""
    async with AsyncExitStack() as stack:
        started = [Account(name, lasts_s) for name in names]
        for instance in started:
            vendor = await stack.enter_async_context(scripted(instance.answer))
            instance.base_url = vendor.base_url
        yield started


@asynccontextmanager
async def proxies(folder, count, server, *entries, **settings):
    """Run `count` processes with one config and one Valkey; wait until they are connected."""
    config = {
        "model_groups": [{"model_group": GROUP, "models": list(entries)}],
        "general_settings": {
            "redis_url": server.url,
            "drain_delay_s": 0,
            "drain_timeout_s": 1,
            "log_format": "json",
            **settings,
        },
    }
    async with AsyncExitStack() as stack:
        async with asyncio.TaskGroup() as starting:
            starts = [
                starting.create_task(
                    stack.enter_async_context(running(folder / f"proxy-{number}", config=config))
                )
                for number in range(count)
            ]
        started = [start.result() for start in starts]
        for instance in started:
            await until_shared(instance, connected=True, instances=count)
        yield started


async def shared_of(proxy):
    """Return what /health reports of the shared view."""
    return (await ask(proxy.port, "/health", method="GET")).json["shared"]


async def until_shared(proxy, **expected):
    """Wait until /health reports this of the shared view; return the seconds."""
    began = monotonic()
    async with asyncio.timeout(60):
        while True:
            shared = await shared_of(proxy)
            if all(shared[name] == value for name, value in expected.items()):
                return monotonic() - began
            await asyncio.sleep(0.02)


@dataclass
class Load:
    """Clients that call the proxies evenly until they are stopped. A call that a proxy loses
    has the status 0. Calls to a dead proxy go to the others; those that died with it do not count.
    A client has one call at a time, so `clients` is at least the number of calls that may wait."""

    ports: list[int]
    calls_per_s: float
    outcomes: list[tuple[float, float, int]] = field(default_factory=list)  # at, lasted, status
    dead: set[int] = field(default_factory=set)
    clients: int = 0

    @asynccontextmanager
    async def running(self):
        least = max(len(self.ports), self.clients)
        clients = max(least, round(self.calls_per_s / CALLS_PER_CLIENT_S))
        pause_s = clients / self.calls_per_s
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._client(self.ports[n % len(self.ports)], pause_s, n))
                for n in range(clients)
            ]
            try:
                yield self
            finally:
                for task in tasks:
                    task.cancel()

    def statuses(self, since=0.0):
        """Count the statuses of the calls since a time."""
        found = {}
        for at, _, status in self.outcomes:
            if at >= since:
                found[status] = found.get(status, 0) + 1
        return found

    async def _client(self, port, pause_s, number):
        random = Random(number)
        next_at = monotonic() + random.random() * pause_s
        connection = None
        while True:
            if port in self.dead:
                living = [port for port in self.ports if port not in self.dead]
                port, connection = living[number % len(living)], None
            await asyncio.sleep(max(0.0, next_at - monotonic()))
            next_at = max(next_at + pause_s * random.uniform(0.5, 1.5), monotonic() - 1.0)
            at, status = monotonic(), 0
            try:
                connection = connection or await connect(port)
                await connection.send(request(body=CHAT))
                status = (await connection.reply()).status
            except (OSError, EOFError):
                connection = None
                if port in self.dead:
                    continue
            self.outcomes.append((at, monotonic() - at, status))


# name -> (how the server fails, how it recovers)
FAULTS = {
    "hangs": (lambda server: server.hang(), lambda server: server.go_on()),
    "is gone": (lambda server: server.kill(), lambda server: server.start()),
    "begins again empty": (lambda server: server.restart_empty(), None),
    "is read-only": (
        lambda server: server.become_read_only(),
        lambda server: server.become_writable(),
    ),
    "is out of memory": (
        lambda server: server.run_out_of_memory(),
        lambda server: server.have_memory_again(),
    ),
}


async def apply_fault(server, what):
    """Apply one of FAULTS, or its end."""
    if what is not None and (done := what(server)) is not None:
        await done


def percentile(values, part):
    """Return the value below which this part of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def overheads_ms(proxies, since_line=0):
    """Return the proxies' own milliseconds per call, from their logs."""
    return [call["overhead_ms"] for proxy in proxies for call in proxy.calls[since_line:]]
