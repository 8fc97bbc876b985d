"""Alerts, sent to a real receiver on a socket."""

import asyncio
import hmac
import json
from contextlib import asynccontextmanager
from hashlib import sha256
from time import time

import pytest
from sqlalchemy import insert

from llmproxy.batteries.alerts.alert import (
    Alert,
    AlertKind,
    Webhook,
    body_of,
    has_jumped,
    signature,
)
from llmproxy.batteries.alerts.sending import Sender
from llmproxy.batteries.alerts.service import Alerts
from llmproxy.batteries.settings import FullSettings
from llmproxy.batteries.store import Database, Store, address_of
from llmproxy.batteries.store.tables import keys, spend
from llmproxy.composition import config_file
from llmproxy.composition.store import StoreParts
from llmproxy.errors import ConfigError
from llmproxy.events import EndpointChange, EndpointStateChanged
from tests.support.budgets import answer_with, budgeted
from tests.support.client import CHAT, ask
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.store import DATABASES, database_url
from tests.support.vendor import http, scripted
from tests.support.waiting import until

SECRET = "whsec-0123456789"
DAY_S = 86_400


def takes(received, number):
    return [http(b"ok", content_type="text/plain")]


def is_ours(received, secret):
    """What a receiver does, as docs/operations/alerts.md shows it."""
    parts = dict(part.split("=", 1) for part in received.header("x-llmproxy-signature").split(","))
    signed = parts["t"].encode() + b"." + received.body
    expected = hmac.new(secret.encode(), signed, sha256).hexdigest()
    return hmac.compare_digest(expected, parts["v1"]) and abs(time() - int(parts["t"])) < 300


@asynccontextmanager
async def alerting(receiver, url, *, budgets=None, format="json"):
    """An instance with alerts, without a proxy around it."""
    store = Store()
    alerts = Alerts(store, budgets, pauses_s=(0.01, 0.01, 0.01))
    given = {"url": f"http://127.0.0.1:{receiver.port}/hook", "secret": SECRET, "format": format}
    settings = FullSettings(database_url=url, alerts=[given])
    parts = StoreParts(store, budgets=budgets, alerts=alerts)
    async with parts.opener(settings, {}):
        yield alerts


def changed(state, why="3 failures in a row"):
    return EndpointStateChanged("gpt-4.1", "azure", state, why, None)


@bounded()
async def test_a_receiver_that_fails_twice_gets_the_alert_once_and_signed(tmp_path):
    tries = []

    def fails_twice(received, number):
        tries.append(received)
        return [http(status=503)] if len(tries) < 3 else takes(received, number)

    async with scripted(fails_twice) as receiver, alerting(receiver, "off") as alerts:
        alerts.endpoint_state_changed(changed(EndpointChange.OPEN))
        await until(lambda: len(receiver.received) == 3)
        await asyncio.sleep(0.1)
        assert len(receiver.received) == 3
        assert all(is_ours(received, SECRET) for received in receiver.received)
        assert not is_ours(receiver.received[0], "another secret")
        sent = json.loads(receiver.received[-1].body)
        assert (sent["kind"], sent["details"]["endpoint"]) == ("endpoint_out", "azure")
        assert sent["text"] == "Endpoint azure of gpt-4.1 is out: 3 failures in a row"


@bounded()
async def test_an_endpoint_that_stays_out_is_told_once_and_its_return_too(tmp_path):
    async with scripted(takes) as receiver, alerting(receiver, "off", format="slack") as alerts:
        for state in ("OPEN", "HALF_OPEN", "OPEN", "CLOSED", "CLOSED", "COOLING"):
            alerts.endpoint_state_changed(changed(EndpointChange[state]))
        await until(lambda: len(receiver.received) == 2)
        await asyncio.sleep(0.1)
        texts = [json.loads(received.body) for received in receiver.received]
        assert sorted(text["text"] for text in texts) == [
            "Endpoint azure of gpt-4.1 answers again.",
            "Endpoint azure of gpt-4.1 is out: 3 failures in a row",
        ]


@pytest.mark.parametrize("kind", DATABASES)
@bounded()
async def test_of_two_instances_one_sends(kind, tmp_path):
    async with scripted(takes) as receiver, database_url(kind, tmp_path) as url:
        async with alerting(receiver, url) as one, alerting(receiver, url) as other:
            for alerts in (one, other):
                alerts.endpoint_state_changed(changed(EndpointChange.OPEN))
            await until(lambda: receiver.received)
            await asyncio.sleep(0.5)
            assert len(receiver.received) == 1


@bounded()
async def test_a_budget_is_told_of_at_80_and_at_100_percent(tmp_path):
    vendor_answers = [http(answer_with(400, 450))]
    async with (
        scripted(lambda received, number: vendor_answers) as vendor,
        scripted(takes) as receiver,
    ):
        hook = {"url": f"http://127.0.0.1:{receiver.port}/", "secret": SECRET}
        config = budgeted(vendor, {"tokens": 1000, "per": "month", "hard": False}, alerts=[hook])
        async with serve_proxy(config) as proxy:
            for _ in range(4):
                await ask(proxy.port, body=CHAT)
            await until(lambda: len(receiver.received) == 2)
            await asyncio.sleep(0.1)
        told = sorted(json.loads(received.body)["text"] for received in receiver.received)
        assert [text.split(" are used")[0] for text in told] == [
            "Budget of all calls: 100 % of 1,000 tokens a month",
            "Budget of all calls: 80 % of 1,000 tokens a month",
        ]


@bounded()
async def test_a_budget_that_refuses_calls_before_it_is_used_up_is_told_of_once(tmp_path):
    vendor_answers = [http(answer_with(300, 300))]
    async with (
        scripted(lambda received, number: vendor_answers) as vendor,
        scripted(takes) as receiver,
    ):
        hook = {"url": f"http://127.0.0.1:{receiver.port}/", "secret": SECRET}
        config = budgeted(vendor, {"tokens": 1000, "per": "month"}, alerts=[hook])
        async with serve_proxy(config) as proxy:
            long = {**CHAT, "max_tokens": 900}
            statuses = [(await ask(proxy.port, body=long)).status for _ in range(3)]
            await until(lambda: receiver.received)
            await asyncio.sleep(0.1)
        assert statuses == [200, 429, 429]
        [alert] = [json.loads(received.body) for received in receiver.received]
        assert alert["text"].startswith("Budget of all calls: a call was refused, which may use ")
        assert alert["text"].endswith("; 600 tokens of 1,000 tokens a month are used.")
        assert alert["details"]["refused"] is True


@bounded()
async def test_keys_that_end_soon_and_a_jump_of_spend_are_told_of(tmp_path):
    url, now = str(tmp_path / "store.sqlite"), time()
    hour = int(now // 3600) * 3600
    database = Database(address_of(url, {}))
    for name, days in (("soon", 0.5), ("later", 5), ("much-later", 30)):
        row = {"id": f"key_{name}", "name": name, "prefix": "x", "digest": name, "changed_at": now}
        ends = {"expires_at": now + days * DAY_S, "created_at": now, "blocked": False}
        await database.execute(insert(keys).values(**row, **ends))
    for days, cost in ((0, 9), (1, 2), (2, 2), (3, 2)):
        row = {"period": "hour", "start": hour - days * DAY_S, "nano_usd": cost * 10**9}
        await database.execute(insert(spend).values(**row))
    await database.close()
    async with scripted(takes) as receiver, alerting(receiver, url) as alerts:
        await until(lambda: len(receiver.received) == 3)
        await alerts.look(now + 1)  # nothing is told twice
        await asyncio.sleep(0.1)
        assert sorted(json.loads(received.body)["text"] for received in receiver.received) == [
            "Calls have cost $9.00 in this hour; in the same hour of the days before it was $2.00.",
            "Key 'later' ends within 7 days.",
            "Key 'soon' ends within 1 day.",
        ]


def test_an_hour_jumps_if_it_costs_thrice_the_usual_and_the_usual_is_known():
    dollar = 10**9
    assert has_jumped(7 * dollar, [2 * dollar] * 3)
    assert not has_jumped(6 * dollar, [2 * dollar] * 3)
    assert not has_jumped(7 * dollar, [2 * dollar] * 2)
    assert not has_jumped(dollar // 2, [0] * 7)


@bounded()
async def test_a_receiver_that_never_takes_it_is_named_in_the_log_without_its_address(caplog):
    async with scripted(lambda received, number: [http(status=500)]) as receiver:
        target = Webhook(f"http://127.0.0.1:{receiver.port}/secret-path")
        sender = Sender((target,), pauses_s=(0.01,))
        sender.send(Alert("a", AlertKind.BUDGET, "Budget of all calls", 1.0))
        await until(lambda: any("webhook 1" in line for line in caplog.messages))
        await sender.close()
    (said,) = [line for line in caplog.messages if "webhook 1" in line]
    assert "status 500" in said
    assert "secret-path" not in said


def test_the_signature_is_of_time_and_body():
    body = body_of(Alert("a", AlertKind.BUDGET, "text", 1.0), Webhook("https://x"))
    assert signature("s", body, 5.9).startswith("t=5,v1=")
    assert signature("s", body, 5) != signature("s", body, 6) != signature("other", body, 6)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"url": "hooks.example.com"}, "Write https://"),
        ({"secret": "x"}, "url is missing. Add url"),
        ({"url": "https://x", "format": "teams"}, "expected 'json' or 'slack', found 'teams'"),
        ({"url": "https://x", "to": "me"}, "unknown key 'to'. Remove it; known here: url, secret"),
        ({"url": "https://x", "secret": ""}, "found an empty secret"),
    ],
)
def test_a_wrong_webhook_is_refused(entry, says, tmp_path):
    path = tmp_path / "llmproxy.yaml"
    models = [{"params": {"base_url": "http://x/v1"}}]
    groups = [{"model_group": "a", "models": models}]
    path.write_text(json.dumps({"model_groups": groups, "general_settings": {"alerts": [entry]}}))
    with pytest.raises(ConfigError, match=says):
        config_file(path, {}).load()
