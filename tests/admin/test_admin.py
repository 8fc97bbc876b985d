"""The cache's statistics, purging it, and who has access to the admin API."""

import asyncio

import pytest

from tests.support.cached import FIXED, numbered_answers, text_of, with_cache
from tests.support.client import ask, question
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import always, chat, http, scripted

KEY = "sk-admin-secret"
HERE = "127.0.0.1:4000"


async def get_json(proxy, method="GET", path="/admin/cache", *, headers=(), host=HERE):
    return await ask(proxy.port, path, method=method, headers=headers, host=host)


def keyed(vendor, **settings):
    config = with_cache(vendor)
    config["general_settings"] |= {"admin_key": KEY, **settings}
    return config


@bounded()
async def test_the_counters_show_what_the_cache_has_done_and_saved():
    async with scripted(numbered_answers()) as vendor:
        config = with_cache(vendor)
        config["model_groups"][0]["models"][0]["price"] = {"input": 1000, "output": 100_000}
        async with serve_proxy(config) as proxy:
            await asyncio.gather(*(ask(proxy.port, body=FIXED) for _ in range(3)))
            for _ in range(4):
                await ask(proxy.port, body=FIXED)
            await ask(proxy.port, body=question("another", temperature=0))
            stats = (await get_json(proxy)).json
            assert (stats["hits"], stats["misses"], stats["coalesced"]) == (4, 2, 2)
            assert (stats["stale"], stats["kept"]) == (0, 2)
            # Each answer: 3 tokens in for 0.003 dollars, 2 out for 0.2.
            assert (stats["saved_input_tokens"], stats["saved_output_tokens"]) == (18, 12)
            assert stats["saved_usd"] == pytest.approx(6 * 0.203)
            assert stats["memory"]["entries"] == 2
            assert stats["memory"]["bytes"] > 2 * len(http(chat()))
            assert stats["second_level"] is None


@bounded()
async def test_a_purge_deletes_all_answers_or_those_of_a_group_or_the_old_ones():
    async with scripted(numbered_answers()) as vendor:
        config = with_cache(vendor)
        config["model_groups"].append({**config["model_groups"][0], "model_group": "other"})
        async with serve_proxy(config) as proxy:

            async def known():
                words = []
                for group in ("gpt-4.1", "other"):
                    reply = await ask(
                        proxy.port,
                        body={**FIXED, "model": group},
                        headers=[("x-llmproxy-cache", "only")],
                    )
                    words.append(reply.status == 200)
                return words

            for group in ("gpt-4.1", "other"):
                await ask(proxy.port, body={**FIXED, "model": group})
            assert await known() == [True, True]
            old = await get_json(proxy, "DELETE", "/admin/cache?older_than_s=60")
            assert old.json == {"memory": 0, "second_level": 0}
            one = await get_json(proxy, "DELETE", "/admin/cache?group=other")
            assert one.json == {"memory": 1, "second_level": 0}
            assert await known() == [True, False]
            await get_json(proxy, "DELETE")
            assert await known() == [False, False]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", f"Bearer {KEY}x")],
        [("authorization", KEY)],
        [("authorization", "Bearer ")],
        [("api-key", KEY)],
    ],
    ids=["none", "wrong", "no scheme", "empty", "elsewhere"],
)
@bounded()
async def test_if_a_key_is_configured_requests_without_it_are_rejected(method, headers):
    async with scripted(numbered_answers()) as vendor, serve_proxy(keyed(vendor)) as proxy:
        await ask(proxy.port, body=FIXED)
        refused = await get_json(proxy, method, headers=headers)
        assert refused.status == 401
        assert "admin_key" in refused.json["detail"]
        assert len(proxy.runtime.cache.memory) == 1


@bounded()
async def test_the_admin_key_gives_access_and_a_caller_s_key_does_not():
    async with scripted(numbered_answers()) as vendor:
        callers = [{"name": "alice", "key": "sk-alice-secret"}]
        async with serve_proxy(keyed(vendor, callers=callers)) as proxy:
            with_key = await get_json(proxy, headers=[("authorization", f"bearer {KEY}")])
            as_caller = await get_json(proxy, headers=[("authorization", "Bearer sk-alice-secret")])
            assert (with_key.status, as_caller.status) == (200, 401)
            spoken = await ask(proxy.port, body=FIXED, headers=[("authorization", f"Bearer {KEY}")])
            assert spoken.status == 401


@pytest.mark.parametrize(
    ("host", "headers"),
    [
        ("llm.example.com", []),
        ("127.0.0.1.nip.example", []),
        (HERE, [("x-forwarded-for", "203.0.113.9")]),
        (HERE, [("forwarded", "for=203.0.113.9")]),
    ],
    ids=["another name", "a name like it", "through a proxy", "through another"],
)
@bounded()
async def test_without_a_configured_key_only_programs_on_this_machine_have_access(host, headers):
    async with scripted(numbered_answers()) as vendor, serve_proxy(with_cache(vendor)) as proxy:
        refused = await get_json(proxy, headers=headers, host=host)
        assert refused.status == 403
        assert "admin_key" in refused.json["detail"]
        for name in ("localhost", "127.0.0.1:4000", "[::1]:4000"):
            assert (await get_json(proxy, host=name)).status == 200


@bounded()
async def test_invalid_requests_are_rejected_and_nothing_is_deleted():
    async with scripted(always(http(chat()))) as vendor, serve_proxy(with_cache(vendor)) as proxy:
        await ask(proxy.port, body=FIXED)
        for query in ("older_than_s=-1", "older_than_s=soon"):
            assert (await get_json(proxy, "DELETE", f"/admin/cache?{query}")).status == 422
        assert (await get_json(proxy, "POST")).status == 405
        assert text_of(await ask(proxy.port, body=FIXED)) == "hello"
        assert len(vendor.received) == 1
