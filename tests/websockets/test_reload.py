"""A session goes on when the config changes; the next one is served by the new config."""

from websockets.asyncio.client import connect

from tests.reload.reloading import endpoint, one_group, reload
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.websockets.realtime import echo, realtime_vendor
from tests.websockets.waiting_for import finished


@bounded()
async def test_a_session_outlives_a_reload(tmp_path):
    async with realtime_vendor(talk=echo) as before, realtime_vendor(talk=echo) as after:
        config = one_group(endpoint(before, "before"))
        async with serve_proxy(config, path=tmp_path / "c.yaml") as proxy:
            url = f"ws://127.0.0.1:{proxy.port}/v1/realtime?model=gpt-4.1"
            async with connect(url) as session:
                await reload(proxy, one_group(endpoint(after, "after")))
                await session.send("still here")
                assert await session.recv() == "still here"
                async with connect(url) as another:
                    assert another.response.headers["x-llmproxy-endpoint"] == "after"
            records = await finished(proxy, 2)
    assert {record.endpoint for record in records} == {"before", "after"}
    assert [record.answer.error for record in records] == [None, None]
