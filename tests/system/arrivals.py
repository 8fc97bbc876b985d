"""Calls that arrive at random times, whether or not earlier ones are answered (an open loop)."""

import asyncio
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic

from llmproxy.tools.simulator import VendorSettings, serve
from tests.support.client import connect, request

MODEL = "gpt-4.1"
OUTPUT_TOKENS = 30
MEAN_TOKENS = 166  # as a vendor charges a call on arrival: prompt and max_tokens
FRAME_TOKENS = 6  # what a vendor adds to a message's text; here about so many
CHARACTERS_PER_TOKEN = 4
USERS = 50


@dataclass(frozen=True)
class Outcome:
    """The result of one call, with its start and duration in seconds."""

    at_s: float
    lasted_s: float
    status: int
    endpoint: str | None
    reported_s: float | None  # when to come back


class Crowd:
    """Clients of one proxy. `outcomes` are in the order of their ends."""

    def __init__(self, port, *, seed=1, headers=()):
        self.outcomes = []
        self._port = port
        self._headers = headers
        self._chance = random.Random(seed)
        self._free = []
        self._began_at = monotonic()

    async def arrive(self, *phases):
        """Make calls in phases of (calls per second, seconds); return when all are over.

        Arrival times are random. Their number is exact, so that the load is as stated.
        """
        self._began_at = begins_at = monotonic()
        async with asyncio.TaskGroup() as calls:
            for rate, seconds in phases:
                count = round(rate * seconds)
                for moment in sorted(self._chance.uniform(0, seconds) for _ in range(count)):
                    await asyncio.sleep(max(0.0, begins_at + moment - monotonic()))
                    calls.create_task(self.call())
                begins_at += seconds
        return self

    async def call(self, *, tokens=None):
        """Make one call of MEAN_TOKENS on average, half to one and a half times as many."""
        if tokens is None:
            tokens = round(MEAN_TOKENS * self._chance.uniform(0.5, 1.5))
        connection = self._free.pop() if self._free else await connect(self._port)
        at = monotonic()
        await connection.send(request(body=asking(tokens), headers=self._headers))
        reply = await connection.reply()
        ended_at = monotonic()
        self._free.append(connection)
        told_ms = reply.header("retry-after-ms")
        outcome = Outcome(
            at - self._began_at,
            ended_at - at,
            reply.status,
            reply.header("x-llmproxy-endpoint"),
            float(told_ms) / 1000 if told_ms else None,
        )
        self.outcomes.append(outcome)
        return outcome

    def served_by(self, *names, since_s=0.0, until_s=1e9):
        """Return the successful calls of a period that these endpoints answered."""
        return [
            outcome
            for outcome in self.outcomes
            if outcome.endpoint in names
            and outcome.status == 200
            and since_s <= outcome.at_s < until_s
        ]

    @property
    def refused(self):
        return [outcome for outcome in self.outcomes if outcome.status == 429]


def asking(tokens):
    """Return a request that its vendor charges with about this number of tokens."""
    prompt = "x" * (tokens - OUTPUT_TOKENS - FRAME_TOKENS) * CHARACTERS_PER_TOKEN
    messages = [{"role": "user", "content": prompt}]
    return {"model": MODEL, "messages": messages, "max_tokens": OUTPUT_TOKENS}


@asynccontextmanager
async def vendor(name, dialect, *, rpm=None, tpm=None):
    """A simulated vendor that answers in 25 to 75 ms."""
    settings = VendorSettings(
        name=name, dialect=dialect, rpm=rpm, tpm=tpm, latency_s=0.05, jitter=0.5, seed=1
    )
    async with serve(settings) as running:
        yield running


def entry(vendor, *, tier=0, key="sk-upstream"):
    """The vendor as an endpoint of a group, without limits; no `key`: the client brings its own."""
    azure = vendor.settings.dialect == "azure"
    url = vendor.azure_v1_url if azure else vendor.base_url
    return {
        "name": vendor.settings.name,
        "model": MODEL,
        "tier": tier,
        "params": {"base_url": url, **({"api_key": key} if key else {})},
        **({"provider": "azure"} if azure else {}),
    }


async def use_up(vendor, *, calls, tokens):
    """Use a vendor's account as another program does: at most `calls` calls, until a refusal."""
    azure = vendor.settings.dialect == "azure"
    path = "/openai/v1/chat/completions" if azure else "/v1/chat/completions"
    credential = ("api-key", "x") if azure else ("authorization", "Bearer x")
    body = {**asking(OUTPUT_TOKENS + FRAME_TOKENS), "max_tokens": tokens - FRAME_TOKENS}
    sent = request(path, body, headers=[credential])
    statuses = set()

    async def work():
        connection = await connect(vendor.port)
        for _ in range(max(1, calls // USERS)):
            if 429 in statuses:
                break
            await connection.send(sent)
            statuses.add((await connection.reply()).status)
        connection.leave()

    async with asyncio.TaskGroup() as workers:
        for _ in range(min(calls, USERS)):
            workers.create_task(work())
    assert statuses <= {200, 429}
