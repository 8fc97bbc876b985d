"""Calls of thirty callers in six teams, through proxies whose vendors write bills."""

import asyncio
import json
import random
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction

from llmproxy.tools.simulator import Fault, VendorSettings, serve
from tests.support.client import ask, connect, request
from tests.support.process import running
from tests.system.bills import END_OF_MARK, Bill, Tariff

CALLERS, TEAMS = 30, 6
MADE_AT_RUN_TIME = 10  # of the callers; the others are in the config
CLIENTS = 24
TARIFFS = {
    "east": Tariff(Fraction(2), Fraction("0.5"), Fraction(8)),
    "west": Tariff(Fraction("2.2"), Fraction("0.55"), Fraction("8.8")),
    "quick": Tariff(Fraction("0.1"), Fraction("0.025"), Fraction("0.4")),
    "slow": Tariff(Fraction("0.1"), Fraction("0.025"), Fraction("0.4")),
    "last": Tariff(Fraction(3), Fraction(3), Fraction(15)),
    "dark": Tariff(Fraction(1), Fraction(1), Fraction(1)),  # the proxy is not told
}
GROUPS = {
    "large": ("east", "west"),
    "small": ("quick", "slow"),
    "broken": ("down",),  # all of its calls fall back
    "own-model": ("dark",),
    "other": ("last",),
}
ASKED_FOR = {"large": 40, "small": 42, "broken": 8, "own-model": 10}  # of a hundred calls
# kind of call -> how many of a hundred
KINDS = {
    "whole": 36,
    "stream with usage": 20,
    "stream without usage": 14,
    "cached prompt": 12,
    "asked again": 10,
    "left in a stream": 5,
    "left before an answer": 3,
}
PREFIX = "All that is known about the harbour of this town, as it was told. " * 90


@dataclass(frozen=True)
class Asked:
    """One call as its client knows it. Calls that ask the same have the same `mark`."""

    id: str
    mark: str
    kind: str
    caller: str
    key: str  # its id, if it was made at run time
    team: str
    model: str
    tags: tuple[str, ...]
    end_user: str


@dataclass(frozen=True)
class Caller:
    """Who calls, and how it shows that."""

    name: str
    team: str
    secret: str
    key: str = ""


@dataclass
class Fleet:
    """Running instances, the bills of their vendors, and their store."""

    instances: list
    bills: dict[str, Bill]
    database_url: str
    callers: list[Caller]

    @property
    def port(self):
        return self.instances[0].port

    @property
    def lines(self):
        return [line for bill in self.bills.values() for line in bill.lines]


@asynccontextmanager
async def fleet(folder, temporary, database_url, *, instances, workers, **settings):
    """Run instances with so many workers each. `temporary`: a folder with a short path."""
    async with AsyncExitStack() as stack:
        bills = {name: Bill(name) for name in TARIFFS}
        vendors = {
            name: await stack.enter_async_context(
                serve(VendorSettings(name=name, seed=1, prompt_cache=True), bill.operations())
            )
            for name, bill in bills.items()
        }
        vendors["down"] = await stack.enter_async_context(serve(VendorSettings(name="down")))
        _set_faults(vendors)
        config = _config(vendors, database_url, settings)
        arguments = ("serve", "--port", "0", "--workers", str(workers))
        proxies = []
        for number in range(instances):
            home = temporary / str(number)
            home.mkdir()
            environ = {"TMPDIR": str(home), "STATE_DIRECTORY": str(home)}
            proxy = running(folder / home.name, *arguments, config=config, environ=environ)
            proxies.append(await stack.enter_async_context(proxy))
        callers = [Caller(_name(n), _team(n), _secret(n)) for n in range(CALLERS)]
        await _make_keys(proxies, callers)
        yield Fleet(proxies, bills, database_url, callers)


def _set_faults(vendors):
    vendors["down"].faults.append(Fault("status:500"))
    vendors["east"].faults.append(Fault("reset-before", probability=0.03))
    vendors["west"].faults.append(Fault("status:500", probability=0.1))
    vendors["west"].faults.append(Fault("reset-mid:2", probability=0.05, stream=True))
    # Silent for longer than is waited for: another endpoint is asked beside it.
    vendors["slow"].settings = VendorSettings(name="slow", seed=1, latency_s=0.4, jitter=0.9)


def _config(vendors, database_url, settings):
    entries = {
        name: {
            "name": name,
            "model": f"{name}-model",
            "params": {"base_url": vendor.base_url, "api_key": "sk-upstream"},
            **({} if name in ("dark", "down") else {"price": TARIFFS[name].for_the_config()}),
        }
        for name, vendor in vendors.items()
    }
    groups = [
        {"model_group": group, "models": [entries[name] for name in names]}
        for group, names in GROUPS.items()
    ]
    groups[[*GROUPS].index("broken")]["fallbacks"] = ["other"]
    return {
        "model_groups": groups,
        "general_settings": {
            **{"database_url": database_url, "cache": True, "affinity": "off"},
            **{"allowed_fails": 1_000_000, "cooldown_time": 0.01},
            **{"hedge_after_s": 0.25, "hedge_budget": 1.0, "log_format": "json"},
            **{"drain_delay_s": 0, "drain_timeout_s": 5},
            "callers": [
                {"name": _name(number), "key": _secret(number), "team": _team(number)}
                for number in range(CALLERS - MADE_AT_RUN_TIME)
            ],
            **settings,
        },
    }


def _name(number):
    return f"caller-{number:02d}"


def _team(number):
    return f"team-{number % TEAMS}"


def _secret(number):
    return f"sk-client-{number:02d}-0123456789"


async def _make_keys(proxies, callers):
    """Make the last callers' keys at the first instance; wait until every worker knows them."""
    for number in range(CALLERS - MADE_AT_RUN_TIME, CALLERS):
        body = json.dumps({"name": _name(number), "team": _team(number)}).encode()
        made = await ask(proxies[0].port, "/admin/keys", body=body, host="localhost")
        assert made.status == 201, made.body
        callers[number] = Caller(_name(number), _team(number), made.json["key"], made.json["id"])
    for proxy in proxies:
        known = 0
        while known < 16:  # in a row, each over a connection of its own, at any worker
            headers = [("authorization", f"Bearer {callers[-1].secret}")]
            reply = await ask(proxy.port, "/v1/models", method="GET", headers=headers)
            known = known + 1 if reply.status == 200 else 0
            await asyncio.sleep(0 if known else 0.05)


class Client:
    """Asks one call after another at one of the instances, and remembers what it has asked."""

    def __init__(self, fleet, number):
        self.asked, self.statuses = [], Counter()
        self._fleet, self._number, self._chance = fleet, number, random.Random(number)
        self._port = fleet.instances[number % len(fleet.instances)].port

    async def run(self, count):
        for number in range(count):
            kind = self._chance.choices([*KINDS], [*KINDS.values()])[0]
            group = self._chance.choices([*ASKED_FOR], [*ASKED_FOR.values()])[0]
            if kind.startswith("left"):
                group = "small"  # whose vendors get every call
            caller = self._chance.choice(self._fleet.callers)
            asked = self._call_of(number, kind, group, caller)
            self.asked.append(asked)
            self.statuses[await self._send(asked, caller)] += 1

    def _call_of(self, number, kind, group, caller):
        mark = f"{self._number}-{number}"
        tags = tuple(self._chance.sample(("batch", "web", "night"), self._chance.randrange(3)))
        if kind == "asked again":  # calls with one mark have all else in common, too
            mark, tags = f"again-{caller.name}-{group}-{self._chance.randrange(3)}", ("again",)
        return Asked(
            id=f"call-{self._number}-{number}",
            mark=mark,
            kind=kind,
            caller=caller.name,
            key=caller.key,
            team=caller.team,
            model=group,
            tags=tags,
            end_user=f"user-{caller.name[-1]}",
        )

    async def _send(self, asked, caller):
        headers = [
            ("authorization", f"Bearer {caller.secret}"),
            *(("x-request-id", asked.id), ("x-llmproxy-user", asked.end_user)),
            *([("x-llmproxy-tags", ",".join(asked.tags))] if asked.tags else []),
        ]
        connection = await connect(self._port)
        try:
            await connection.send(request(body=_body_of(asked), headers=headers))
            if asked.kind == "left before an answer":
                await self._at_a_vendor(asked.mark)
                return "left"
            if asked.kind == "left in a stream":
                await connection.head()
                for _ in range(3):
                    await connection.chunk()
                return "left"
            return (await connection.reply()).status
        except (asyncio.IncompleteReadError, ConnectionResetError, ValueError):
            return "broken"
        finally:
            connection.leave()

    async def _at_a_vendor(self, mark):
        bills = self._fleet.bills.values()
        while not any(line.mark == mark for bill in bills for line in bill.lines[-100:]):
            await asyncio.sleep(0.005)


def _body_of(asked):
    text = f"{asked.mark}{END_OF_MARK} what is there to be seen?"
    messages = [{"role": "user", "content": text}]
    body = {"model": asked.model, "messages": messages, "max_tokens": 60}
    if asked.kind == "cached prompt":
        body["messages"] = [{"role": "system", "content": PREFIX}, *messages]
    elif asked.kind == "asked again":
        body["temperature"] = 0
    elif "stream" in asked.kind:
        body["stream"] = True
        if asked.kind == "stream with usage":
            body["stream_options"] = {"include_usage": True}
    return body
