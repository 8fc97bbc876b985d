"""`llmproxy cache`: statistics and purges of a running proxy's cache."""

import pytest
import yaml

from tests.support.cached import FIXED, with_cache
from tests.support.client import ask
from tests.support.process import command
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.valkey import free_port
from tests.support.vendor import always, chat, http, scripted

KEY = "sk-admin-secret"


@bounded()
async def test_stats_and_purge_ask_the_running_proxy():
    async with scripted(always(http(chat()))) as vendor, serve_proxy(with_cache(vendor)) as proxy:
        for _ in range(4):
            await ask(proxy.port, body=FIXED)
        stats = await command("cache", "stats", "--url", proxy.root)
        assert (stats.status, stats.stderr) == (0, "")
        assert "3 hits, 0 coalesced, 0 stale (75.0% of 4 calls)" in stats.stdout
        assert "1 misses, 1 of their answers are stored" in stats.stdout
        assert "9 input and 6 output tokens" in stats.stdout
        assert "1 answer, 0.0 MB" in stats.stdout
        purges = [
            await command("cache", "purge", "--url", proxy.root, *options)
            for options in (("--older", "7d"), ("--group", "other"), ())
        ]
        assert [purge.status for purge in purges] == [0, 0, 0]
        assert [purge.stdout.split(" in memory")[0] for purge in purges] == [
            "Deleted 0 answers",
            "Deleted 0 answers",
            "Deleted 1 answer",
        ]


@pytest.mark.parametrize("where", ["the config", "the environment"])
@bounded()
async def test_address_and_key_come_from_the_config_or_the_environment(where, tmp_path):
    async with scripted(always(http(chat()))) as vendor:
        config = with_cache(vendor)
        config["general_settings"]["admin_key"] = KEY
        async with serve_proxy(config) as proxy:
            if where == "the config":
                config["general_settings"]["bind_port"] = proxy.port
                file = tmp_path / "llmproxy.yaml"
                file.write_text(yaml.safe_dump(config))
                stats = await command("cache", "stats", "--config", str(file))
            else:
                environ = {"LLMPROXY_ADMIN_KEY": KEY}
                stats = await command("cache", "stats", "--url", proxy.root, environ=environ)
            assert (stats.status, stats.stderr) == (0, "")
            without = await command("cache", "stats", "--url", proxy.root)
            assert without.status == 1
            assert "answered 401" in without.stderr
            assert "admin_key" in without.stderr


@bounded()
async def test_stats_say_that_the_cache_is_off():
    async with (
        scripted(always(http(chat()))) as vendor,
        serve_proxy(config_for(vendor.base_url)) as proxy,
    ):
        stats = await command("cache", "stats", "--url", proxy.root)
    assert "general_settings.cache: true" in stats.stdout


@bounded()
async def test_an_unreachable_proxy_is_an_error_with_a_remedy():
    said = await command("cache", "stats", "--url", f"http://127.0.0.1:{free_port()}")
    assert said.status == 1
    assert "Is it running?" in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["purge", "--older", "soon"], "expected seconds, or a number with m, h or d (7d)"),
        (["stats", "--url", "ftp://here"], "Expected --url http://host:port, found 'ftp://here"),
        ([], "ACTION"),
    ],
)
@bounded()
async def test_wrong_arguments_are_explained(arguments, said):
    wrong = await command("cache", *arguments)
    assert wrong.status in (1, 2)
    assert said in wrong.stderr


@bounded()
async def test_a_cache_file_that_cannot_be_created_is_reported_at_the_start(tmp_path):
    config = with_cache(Nobody(), type="disk", path=str(tmp_path / "missing" / "answers.sqlite3"))
    file = tmp_path / "llmproxy.yaml"
    file.write_text(yaml.safe_dump(config))
    said = await command("serve", "--config", str(file), "--port", "0")
    assert said.status == 2
    assert "general_settings.cache_params.path" in said.stderr
    assert "does not exist. Create it, or name another file." in said.stderr
    assert "Traceback" not in said.stderr


class Nobody:
    """A vendor that is never called."""

    base_url = "http://127.0.0.1:1/v1"
