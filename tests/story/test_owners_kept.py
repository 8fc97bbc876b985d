"""Owners survive a restart, and instances share them."""

import pytest

from tests.support.accounts import accounts, config_of, group
from tests.support.client import ask
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.valkey import valkey
from tests.support.waiting import until

REQUEST = {"model": "m", "input": "hi"}


async def respond(proxy, **more):
    reply = await ask(proxy.port, "/v1/responses", {**REQUEST, **more})
    assert reply.status == 200, reply.body
    return reply.json["id"]


async def delete(proxy, id_):
    return await ask(proxy.port, f"/v1/responses/{id_}", method="DELETE")


@pytest.mark.parametrize("named", [True, False])
@bounded()
async def test_a_restarted_proxy_knows_from_its_file_what_it_knew(named, tmp_path):
    file = tmp_path / "state.sqlite"
    settings = {"state_file": str(file)} if named else {}
    environ = {} if named else {"STATE_DIRECTORY": str(tmp_path)}
    async with accounts("a", "b", "c") as three:
        config = config_of(group("m", *three), **settings)
        async with serve_proxy(config, environ) as proxy:
            assert not file.exists()
            made = [await respond(proxy) for _ in range(6)]
        assert file.exists()
        async with serve_proxy(config, environ) as proxy:
            for id_ in made:
                await respond(proxy, previous_response_id=id_)
                assert (await delete(proxy, id_)).status == 200
        assert [account.strangers for account in three] == [[], [], []]


@bounded()
async def test_with_one_account_and_no_callers_no_file_is_made(tmp_path):
    async with accounts("a") as (one,):
        config = config_of(group("m", one), state_file=str(tmp_path / "state.sqlite"))
        async with serve_proxy(config) as proxy:
            id_ = await respond(proxy)
            assert (await delete(proxy, id_)).status == 200
        assert list(tmp_path.iterdir()) == []


@bounded()
async def test_a_file_that_cannot_be_written_costs_a_warning_and_no_call(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    async with accounts("a", "b") as two:
        config = config_of(group("m", *two), state_file=str(tmp_path / "file" / "below.sqlite"))
        async with serve_proxy(config) as proxy:
            made = [await respond(proxy) for _ in range(4)]
            await until(lambda: "in memory only" in caplog.text)
            for id_ in made:
                assert (await delete(proxy, id_)).status == 200
        assert [account.strangers for account in two] == [[], []]


@bounded()
async def test_instances_share_what_they_know_through_the_server(tmp_path):
    async with valkey(tmp_path) as server, accounts("a", "b", "c") as three:
        config = config_of(group("m", *three), redis_url=server.url)
        environ = {"STATE_DIRECTORY": str(tmp_path / "unused")}
        async with serve_proxy(config, environ) as one, serve_proxy(config, environ) as other:
            for _ in range(9):
                id_ = await respond(one)
                follow = await respond(other, previous_response_id=id_)
                assert (await delete(one, follow)).status == 200
                assert (await delete(other, id_)).status == 200
        async with serve_proxy(config, environ) as third:
            assert (await delete(third, id_)).status == 404  # of the account: it is deleted
        assert not (tmp_path / "unused" / "state.sqlite").exists()
        foreign = [stranger for account in three for stranger in account.strangers]
        assert foreign == [id_]
        (key, *_) = await server.command("KEYS", "llmproxy:owner:*")
        assert 0 < await server.command("TTL", key) <= 90 * 86400


@bounded()
async def test_a_server_that_is_away_costs_a_warning_and_no_call(tmp_path, caplog):
    async with accounts("a", "b") as two:
        config = config_of(group("m", *two), redis_url="redis://127.0.0.1:1/0")
        async with serve_proxy(config) as proxy:
            made = [await respond(proxy) for _ in range(4)]
            for id_ in made:
                assert (await delete(proxy, id_)).status == 200
        assert [account.strangers for account in two] == [[], []]
        assert "in memory only" in caplog.text


@bounded()
async def test_a_key_that_was_exchanged_leaves_the_account_what_it_is(tmp_path):
    async with accounts("a", "b") as two:
        before, after = group("m", *two), group("m", *two)
        for entry in after["models"]:
            entry["params"]["api_key"] += "-new"
        file = str(tmp_path / "state.sqlite")
        async with serve_proxy(config_of(before, state_file=file)) as proxy:
            made = [await respond(proxy) for _ in range(4)]
        async with serve_proxy(config_of(after, state_file=file)) as proxy:
            for id_ in made:
                assert (await delete(proxy, id_)).status == 200
        assert [account.strangers for account in two] == [[], []]


@bounded()
async def test_an_account_that_left_the_config_is_named(tmp_path):
    async with accounts("a", "b", "c") as (one, other, third):
        file = str(tmp_path / "state.sqlite")
        async with serve_proxy(config_of(group("m", one, other), state_file=file)) as proxy:
            made = [await respond(proxy) for _ in range(2)]
        gone = next(id_ for id_ in made if other.knows(id_))
        async with serve_proxy(config_of(group("m", one, third), state_file=file)) as proxy:
            reply = await delete(proxy, gone)
            assert (reply.status, reply.error["code"]) == (409, "owner_gone")
            assert "endpoint 'b' (group 'm')" in reply.error["message"]


@bounded()
async def test_a_reload_forgets_nothing(tmp_path):
    path = tmp_path / "llmproxy.yaml"
    async with accounts("a", "b") as two:
        config = config_of(group("m", *two))
        async with serve_proxy(config, path=path) as proxy:
            made = [await respond(proxy) for _ in range(4)]
            path.write_text(
                path.read_text().replace("model_group: m", "model_group: m\n  cache: 'off'")
            )
            await proxy.reloader.reload()
            for id_ in made:
                assert (await delete(proxy, id_)).status == 200
        assert [account.strangers for account in two] == [[], []]
