"""Requests that make no sense are refused with a 4xx: none is a 500, or reads as an outage."""

import pytest

from tests.support.callers import bearer
from tests.support.client import ask
from tests.support.groups import endpoint
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.store import DATABASES, database_url
from tests.support.vendor import GOOD, scripted

KEY = "sk-admin-0123456789"
HUGE = "9" * 30
PATHS = (
    *(f"/admin/calls?{name}=%00" for name in ("caller", "id", "model")),
    *("/admin/calls/%00", "/admin/calls.csv?team=%00", f"/admin/calls?status={HUGE}"),
    *("/admin/calls?cursor=x", "/admin/calls?since=0001-01-01T00:00:00%2B14:00x"),
    *("/admin/spend?by=tag&tag=%00", "/admin/spend?by=team;drop", "/admin/spend.csv?by=%00"),
    *("/admin/audit?who=%00", f"/admin/audit?cursor={HUGE}", "/admin/audit?cursor=-1"),
    *("/admin/keys?search=%00", f"/admin/keys?cursor={'[' * 5000}", "/admin/keys/%00"),
    *("/admin/keys?cursor=[1]", "/admin/teams?cursor=%00", "/admin/teams/%00"),
)
BODIES = (b"\xff\xfe", b'"\\ud800"', b"[" * 50_000, b"{", b"[]", b'{"name": NaN}', b'{"key": 1}')


@pytest.mark.parametrize("kind", DATABASES)
@bounded()
async def test_addresses_and_bodies_that_make_no_sense_are_refused(kind, tmp_path, caplog):
    async with scripted(GOOD) as vendor, database_url(kind, tmp_path) as url:
        config = config_for(endpoint(vendor, "only"), admin_key=KEY, database_url=url)
        async with serve_proxy(config) as proxy:
            for path in PATHS:
                reply = await ask(proxy.port, path, b"", method="GET", headers=bearer(KEY))
                assert 400 <= reply.status < 500, (path, reply.status, reply.body)
            for body in BODIES:
                for path in ("/admin/login", "/admin/keys", "/admin/budgets", "/admin/drain"):
                    json = ("content-type", "application/json")
                    headers = [json, *([] if path == "/admin/login" else bearer(KEY))]
                    reply = await ask(proxy.port, path, body, headers=headers)
                    assert 400 <= reply.status < 500, (path, body[:9], reply.status)
    assert not [record for record in caplog.records if record.exc_info]
