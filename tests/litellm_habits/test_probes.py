"""The probes of LiteLLM's Kubernetes manifests and dashboards."""

import pytest

from llmproxy.errors import ConfigError
from tests.litellm_habits.proxies import ADMIN_KEY, get, habitual
from tests.support.callers import KEY_A
from tests.support.client import connect, request
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded


@bounded()
@pytest.mark.parametrize("switch", [True, None])
@pytest.mark.parametrize("path", ["/health/liveliness", "/health/liveness"])
async def test_a_liveness_probe_is_answered_without_a_key_also_without_the_switch(path, switch):
    async with habitual(litellm_habits=switch) as (_, proxy):
        reply = await get(proxy, path)
        assert (reply.status, reply.json) == (200, "I'm alive!")
        connection = await connect(proxy.port)
        await connection.send(request(path, method="HEAD"))
        assert (await connection.reply(head_only=True)).status == 200
        connection.leave()


@bounded()
async def test_a_readiness_probe_says_whether_the_database_is_there_and_fails_while_it_drains(
    tmp_path,
):
    path = "/health/readiness"
    async with habitual(database_url="off") as (_, proxy):
        reply = await get(proxy, path)
        assert (reply.status, reply.json) == (200, {"status": "healthy", "db": "Not connected"})
    async with habitual(database_url=str(tmp_path / "store.sqlite")) as (_, proxy):
        assert (await get(proxy, path)).json == {"status": "healthy", "db": "connected"}
        proxy.app.live.draining = True
        reply = await get(proxy, path)
        assert (reply.status, reply.json) == (503, {"status": "shutting_down"})


@bounded()
async def test_without_the_switch_no_other_path_changes():
    async with habitual(litellm_habits=None) as (_, proxy):
        for path in ("/model/info", "/key/info", "/spend/logs"):
            reply = await get(proxy, path, KEY_A)
            assert (reply.status, reply.error["code"]) == (404, "unknown_url")


@bounded()
async def test_a_path_that_is_not_answered_says_what_to_use_instead():
    async with habitual() as (_, proxy):
        for path, instead in (
            ("/spend/logs", "/admin/spend"),
            ("/global/spend/report?start_date=2026-01-01", "/admin/spend"),
            ("/user/info", "owner"),
            ("/v2/model/info", "/model/info"),
            ("/cache/ping", "purge"),
            ("/model/new", "config file"),
        ):
            reply = await get(proxy, path, ADMIN_KEY)
            assert (reply.status, reply.error["code"]) == (404, "404")
            assert instead in reply.error["message"], path


@bounded()
async def test_without_the_battery_the_switch_is_refused_at_the_start():
    config = config_for("http://127.0.0.1:9/v1", litellm_habits=True)
    with pytest.raises(ConfigError, match=r"llmproxy\.batteries\.litellm_habits"):
        async with serve_proxy(config, without=("litellm_habits",)):
            pass
