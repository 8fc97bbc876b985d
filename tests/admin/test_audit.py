"""The audit: who changed what."""

import asyncio
import csv
import io
import json
from types import SimpleNamespace

import pytest
import yaml
from sqlalchemy import func, select

from llmproxy.batteries.admin.audit import BATCH, AuditTrail
from llmproxy.batteries.admin.people import AdminRole, Person
from llmproxy.batteries.store import Database, address_of
from llmproxy.batteries.store.tables import audit
from tests.admin.watching import get_json, post
from tests.support.client import ask
from tests.support.groups import endpoint
from tests.support.people import ADMIN_KEY, OPERATORS, PEOPLE
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.store import DATABASES, database_url, open_database
from tests.support.vendor import GOOD, scripted

DRAIN = {"endpoint": "only"}


def with_audit(vendor, url, **settings):
    return config_for(
        endpoint(vendor, "only"),
        admin_key=ADMIN_KEY,
        operators=OPERATORS,
        database_url=url,
        **settings,
    )


async def until_noted(proxy, query, count=1, who="vic"):
    """The rows of the audit, as soon as there are so many."""
    while True:
        found = await get_json(proxy, f"/admin/audit?{query}", headers=PEOPLE[who])
        if len(found["rows"]) >= count:
            return found["rows"]
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", DATABASES)
@bounded()
async def test_who_changed_what_from_where_is_noted_and_can_be_exported(kind, tmp_path):
    async with scripted(GOOD) as vendor, database_url(kind, tmp_path) as url:
        async with serve_proxy(with_audit(vendor, url)) as proxy:
            for does, who in (("drain", "ann"), ("enable", "admin")):
                reply = await post(proxy, f"/admin/{does}", DRAIN, headers=PEOPLE[who])
                assert reply.status == 200
            enabled, drained = await until_noted(proxy, "action=endpoint", 2)
            noted = ("who", "role", "address", "action", "subject")
            assert [drained[name] for name in noted] == [
                *("ann", "admin", "127.0.0.1", "endpoint.drain", "only"),
            ]
            assert (enabled["who"], enabled["action"]) == ("admin", "endpoint.enable")
            assert await until_noted(proxy, "who=ann") == [drained]
            (page,) = await until_noted(proxy, "action=endpoint&limit=1")
            assert page == enabled
            second = await until_noted(proxy, f"action=endpoint&cursor={page['id']}")
            assert second == [drained]
            reply = await ask(
                *(proxy.port, "/admin/audit.csv?action=endpoint"),
                **{"method": "GET", "host": "localhost", "headers": PEOPLE["vic"]},
            )
            rows = list(csv.DictReader(io.StringIO(reply.body.decode())))
            assert [row["who"] for row in rows] == ["admin", "ann"]


@pytest.mark.parametrize("kind", DATABASES)
@bounded()
async def test_a_row_with_strange_texts_does_not_stop_the_others(kind, tmp_path):
    person = Person("ann\ud83d", AdminRole.ADMIN)
    async with open_database(kind, tmp_path) as database:
        trail = AuditTrail(SimpleNamespace(database=database))
        async with trail.written():
            trail.note(None, None, "first")
            trail.note(person, None, "strange", "a\0b", after={"note": "\ud83d\0"})
            trail.note(None, 2**70, "unkept")  # which none keeps
            trail.note(None, None, "last")
        rows = await database.fetch(select(audit.c.action, audit.c.who).order_by(audit.c.id))
        assert [tuple(row) for row in rows] == [
            *(("first", None), ("strange", "ann?"), ("last", None)),
        ]


@bounded()
async def test_a_key_is_noted_before_and_after_and_for_its_team_but_never_shown(tmp_path):
    async with scripted(GOOD) as vendor:
        async with serve_proxy(with_audit(vendor, str(tmp_path / "s.sqlite"))) as proxy:
            for name, team in (("web", "search"), ("job", "ads")):
                order = {"name": name, "team": team}
                made = await post(proxy, "/admin/keys", order, headers=PEOPLE["ann"])
                assert made.status == 201
            path = f"/admin/keys/{made.json['id']}"
            changed = await ask(
                *(proxy.port, path),
                method="PATCH",
                body=json.dumps({"note": "nightly"}).encode(),
                headers=PEOPLE["ann"],
                host="localhost",
            )
            assert changed.status == 200
            change, job, web = await until_noted(proxy, "action=key", 3)
            assert (change["before"]["note"], change["after"]["note"]) == (None, "nightly")
            assert made.json["key"] not in json.dumps([change, job, web])
            assert await until_noted(proxy, "action=key", who="tea") == [web]


@bounded()
async def test_sign_ins_and_refused_ones_are_noted(tmp_path):
    async with scripted(GOOD) as vendor:
        async with serve_proxy(with_audit(vendor, str(tmp_path / "s.sqlite"))) as proxy:
            await post(proxy, "/admin/login", {"key": "guess"})
            reply = await post(proxy, "/admin/login", {"key": "sk-vic-viewer"})
            cookie = ("cookie", reply.header("set-cookie").split(";")[0])
            await post(proxy, "/admin/logout", {}, headers=[cookie])
            rows = await until_noted(proxy, "", 3)
            assert [(row["who"], row["action"]) for row in rows] == [
                *(("vic", "sign_out"), ("vic", "sign_in"), (None, "sign_in.refused")),
            ]
            assert "guess" not in json.dumps(rows)


@bounded()
async def test_a_reload_is_noted_by_its_cause_and_with_what_has_changed(tmp_path):
    file = tmp_path / "c.yaml"
    async with scripted(GOOD) as vendor:
        config = with_audit(vendor, str(tmp_path / "s.sqlite"))
        async with serve_proxy(config, path=file) as proxy:
            config["general_settings"]["num_retries"] = 1
            file.write_text(yaml.safe_dump(config))
            await proxy.reloader.reload_if_changed()
            config["general_settings"]["admin_key"] = "sk-admin-secret-2"
            file.write_text(yaml.safe_dump(config))
            reply = await post(proxy, "/admin/reload", {}, headers=PEOPLE["ann"])
            assert reply.status == 200
            file.write_text("nonsense")
            await proxy.reloader.reload_unless_just_done()
            refused, asked, seen = await until_noted(proxy, "action=config", 3)
            assert (seen["who"], seen["subject"]) == (None, "file")
            assert seen["after"]["changes"] == ["general_settings.num_retries: 3 -> 1"]
            assert (asked["who"], asked["subject"]) == ("ann", "request")
            assert asked["after"]["changes"] == ["general_settings.admin_key: changed"]
            assert refused["subject"] == "SIGHUP"
            assert refused["after"]["error"]


@bounded()
async def test_without_a_store_each_action_is_a_log_line(caplog):
    async with scripted(GOOD) as vendor, serve_proxy(with_audit(vendor, "off")) as proxy:
        await post(proxy, "/admin/drain", DRAIN, headers=PEOPLE["ann"])
        (line,) = (message for message in caplog.messages if message.startswith("Audit: "))
        assert json.loads(line.removeprefix("Audit: "))["who"] == "ann"
        reply = await ask(
            *(proxy.port, "/admin/audit"),
            **{"method": "GET", "host": "localhost", "headers": PEOPLE["vic"]},
        )
        assert (reply.status, "database_url" in reply.json["detail"]) == (404, True)


@bounded()
async def test_all_that_is_left_at_the_end_is_written(tmp_path, caplog):
    database = Database(address_of(str(tmp_path / "store.sqlite"), {}))
    trail = AuditTrail(SimpleNamespace(database=database))
    try:
        async with trail.written():
            for number in range(3 * BATCH):
                trail.note(None, None, "endpoint.drain", str(number))
        (row,) = await database.fetch(select(func.count()).select_from(audit))
    finally:
        await database.close()
    assert row[0] == 3 * BATCH
    assert not any(message.startswith("Audit: ") for message in caplog.messages)
