"""What nobody remembers is asked for, lists are of all accounts, callers own their ids."""

import asyncio

import pytest
from openai import AsyncOpenAI

from tests.admin.watching import post as admin
from tests.support.accounts import KINDS, accounts, config_of, group
from tests.support.client import ask
from tests.support.proxy import serve_proxy
from tests.support.run import bounded


async def get(proxy, path, **more):
    return await ask(proxy.port, f"/v1/{path}", method="GET", **more)


async def post(proxy, path, body, **more):
    return await ask(proxy.port, f"/v1/{path}", body, **more)


async def delete(proxy, path, **more):
    return await ask(proxy.port, f"/v1/{path}", method="DELETE", **more)


def ids(reply):
    assert reply.status == 200, reply.body
    return [item["id"] for item in reply.json["data"]]


# ---- ids that nobody remembers


@pytest.mark.parametrize("kind", KINDS)
@bounded()
async def test_what_was_created_elsewhere_is_asked_for_once_and_then_known(kind):
    async with accounts("a", "b", "c") as three:
        made = [account.keep(kind)["id"] for account in three]
        async with serve_proxy(config_of(group("x", *three[:2]), group("y", three[2]))) as proxy:
            for id_ in made:
                assert (await get(proxy, f"{kind}/{id_}")).json["id"] == id_
            asked = [len(account.asked) for account in three]
            for id_ in made:
                assert (await get(proxy, f"{kind}/{id_}")).status == 200
                assert (await delete(proxy, f"{kind}/{id_}")).status == 200
            assert [len(account.asked) for account in three] == [count + 2 for count in asked]


@bounded()
async def test_what_is_read_as_it_is_and_not_as_json_is_known_by_its_path():
    async with accounts("a", "b") as two:
        id_ = two[1].keep("files")["id"]
        async with serve_proxy(config_of(group("m", *two))) as proxy:
            assert (await get(proxy, f"files/{id_}/content")).body == b'{"id": "file-of-nobody"}\n'
            assert (await delete(proxy, f"files/{id_}")).status == 200
            assert (await delete(proxy, "files/file-of-nobody")).status == 404


@bounded()
async def test_what_no_account_has_is_a_404_in_the_vendors_words():
    async with accounts("a", "b") as two:
        async with serve_proxy(config_of(group("m", *two))) as proxy:
            reply = await get(proxy, "files/file-none")
            assert (reply.status, reply.error["message"]) == (404, "No such object: file-none")
            assert [len(account.asked) for account in two] == [1, 1]


@pytest.mark.parametrize("method", ["DELETE", "POST"])
@bounded()
async def test_a_call_that_would_change_what_nobody_knows_is_sent_nowhere(method):
    async with accounts("a", "b") as two:
        id_ = two[0].keep("batches")["id"]
        async with serve_proxy(config_of(group("m", *two))) as proxy:
            reply = await ask(proxy.port, f"/v1/batches/{id_}", method=method)
            assert (reply.status, reply.error["code"]) == (404, "unknown_id")
            assert [account.asked for account in two] == [[], []]


@bounded()
async def test_with_one_account_every_call_goes_there():
    async with accounts("a") as (one,):
        id_ = one.keep("batches")["id"]
        async with serve_proxy(config_of(group("x", one), group("y", one))) as proxy:
            assert (await delete(proxy, f"batches/{id_}")).status == 200
            assert (await get(proxy, "batches")).status == 200
            assert (await get(proxy, "something/new")).status == 404


@bounded()
async def test_an_account_that_cannot_be_asked_is_said_instead_of_not_found():
    async with accounts("a", "b") as two:
        two[0].fails = 503
        async with serve_proxy(config_of(group("m", *two), num_retries=0)) as proxy:
            assert (await get(proxy, "files/file-none")).status == 503


@bounded()
async def test_a_path_that_no_table_knows_is_asked_of_each_account():
    async with accounts("a", "b") as two:
        async with serve_proxy(config_of(group("x", two[0]), group("y", two[1]))) as proxy:
            assert (await get(proxy, "something/new")).status == 404
            assert [len(account.asked) for account in two] == [1, 1]
            reply = await delete(proxy, "something/new")
            assert (reply.status, reply.error["code"]) == (404, "unknown_id")


# ---- lists


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "realtime" not in kind])
@bounded()
async def test_a_list_holds_what_all_accounts_keep_the_newest_first(kind):
    async with accounts("a", "b", "c") as three:
        made = [account.keep(kind)["id"] for _ in range(3) for account in three]
        config = config_of(group("x", *three), group("y", *three), group("z", three[0]))
        async with serve_proxy(config) as proxy:
            reply = await get(proxy, kind)
            assert ids(reply) == made[::-1]
            assert reply.json["has_more"] is False
            assert (reply.json["first_id"], reply.json["last_id"]) == (made[-1], made[0])
            assert ids(await get(proxy, f"{kind}?order=asc&limit=2")) == made[:2]
            only = await get(proxy, f"{kind}?limit=9", headers=[("x-llmproxy-group", "z")])
            assert ids(only) == made[::3][::-1]
            before = [len(account.asked) for account in three]
            assert (await delete(proxy, f"{kind}/{made[4]}")).status == 200  # known from the list
            assert sum(len(account.asked) for account in three) == sum(before) + 1


@bounded()
async def test_the_openai_sdk_reads_all_pages():
    async with accounts("a", "b", "c") as three:
        made = [three[number % 3].keep("files", purpose="x")["id"] for number in range(25)]
        async with serve_proxy(config_of(group("m", *three))) as proxy:
            client = AsyncOpenAI(base_url=proxy.base_url, api_key="sk-any")
            listed = [file.id async for file in client.files.list(limit=4)]
            await client.close()
        assert listed == made[::-1]


@bounded()
async def test_a_list_without_the_part_of_an_account_is_an_error():
    async with accounts("a", "b") as two:
        async with serve_proxy(config_of(group("m", *two), num_retries=0)) as proxy:
            two[1].fails = 500
            reply = await get(proxy, "files")
            assert (reply.status, reply.error["code"]) == (502, "list_incomplete")
            assert "'b'" in reply.error["message"]
            two[1].fails = 0
            assert (await get(proxy, "files")).status == 200
            await admin(proxy, "/admin/drain", {"group": "m", "endpoint": "a"})
            reply = await get(proxy, "files")
            assert (reply.status, reply.error["code"]) == (503, "list_incomplete")


@bounded()
async def test_an_account_without_such_a_list_has_nothing_to_add():
    async with accounts("a", "b") as two:
        made = two[0].keep("batches")["id"]
        two[1].fails = 404
        async with serve_proxy(config_of(group("m", *two))) as proxy:
            assert ids(await get(proxy, "batches")) == [made]
            two[0].fails = 404
            assert (await get(proxy, "batches")).status == 404


@bounded()
async def test_a_list_is_one_call_in_the_log():
    async with accounts("a", "b", "c") as three:
        async with serve_proxy(config_of(group("m", *three))) as proxy:
            reply = await get(proxy, "files")
            assert reply.header("x-llmproxy-attempts") == "3"
            assert reply.header("x-request-id")
            (call,) = proxy.events.calls
            assert (call.record.attempts, call.record.answer.status) == (3, 200)


@bounded()
async def test_files_of_anthropics_api_are_those_of_anthropics_accounts():
    async with accounts("a", "b") as (openai, anthropic):
        theirs = group("claude", anthropic)
        theirs["models"][0]["provider"] = "anthropic"
        async with serve_proxy(config_of(group("gpt", openai), theirs)) as proxy:
            one, other = openai.keep("files")["id"], anthropic.keep("files")["id"]
            version = [("anthropic-version", "2023-06-01")]
            assert ids(await get(proxy, "files")) == [one]
            assert ids(await get(proxy, "files?limit=5", headers=version)) == [other]
            batch = {"requests": [{"custom_id": "1", "params": {"model": "claude"}}]}
            made = (await post(proxy, "messages/batches", batch, headers=version)).json["id"]
            assert anthropic.knows(made)
            assert (await get(proxy, f"messages/batches/{made}/results")).status == 200
            assert openai.strangers + anthropic.strangers == []


# ---- callers

KEYS = {"alice": "sk-alice-0123456789", "bob": "sk-bob-0123456789"}
CALLERS = [{"name": name, "key": key} for name, key in KEYS.items()]
ALICE, BOB = ([("authorization", f"Bearer {key}")] for key in KEYS.values())


@pytest.mark.parametrize("names", ["a", "ab"])
@bounded()
async def test_what_a_caller_created_does_not_exist_for_others(names):
    async with accounts(*names) as some:
        async with serve_proxy(config_of(group("m", *some), callers=CALLERS)) as proxy:
            body = {"model": "m", "input": "hi"}
            made = [(await post(proxy, "responses", body, headers=ALICE)).json["id"] for _ in "123"]
            asked = sum(len(account.asked) for account in some)
            for id_ in made:
                follow = {**body, "previous_response_id": id_}
                refusals = [
                    await get(proxy, f"responses/{id_}", headers=BOB),
                    await delete(proxy, f"responses/{id_}", headers=BOB),
                    await post(proxy, "responses", follow, headers=BOB),
                ]
                for reply in refusals:
                    assert (reply.status, reply.error["code"]) == (404, "unknown_id")
            assert sum(len(account.asked) for account in some) == asked
            for id_ in made:
                assert (await get(proxy, f"responses/{id_}", headers=ALICE)).status == 200
                follow = {**body, "previous_response_id": id_}
                assert (await post(proxy, "responses", follow, headers=ALICE)).status == 200
            assert [account.strangers for account in some] == [[] for _ in some]


@pytest.mark.parametrize("names", ["a", "abc"])
@bounded()
async def test_a_caller_lists_its_own(names):
    async with accounts(*names) as some:
        for account in some:
            account.keep("vector_stores")
        async with serve_proxy(config_of(group("m", *some), callers=CALLERS)) as proxy:
            made = {"alice": [], "bob": []}
            for number in range(12):
                name, key = (("alice", ALICE), ("bob", BOB))[number % 3 == 0]
                reply = await post(proxy, "vector_stores", {"name": "x"}, headers=key)
                made[name].insert(0, reply.json["id"])
            for name, key in (("alice", ALICE), ("bob", BOB)):
                assert ids(await get(proxy, "vector_stores", headers=key)) == made[name]
                seen, after = [], ""
                for _ in range(9):
                    path = f"vector_stores?limit=2{after}"
                    page = await get(proxy, path, headers=key)
                    seen += ids(page)
                    if not page.json["has_more"] or not ids(page):
                        break
                    after = f"&after={seen[-1]}"
                assert seen == made[name]


@bounded()
async def test_what_was_created_elsewhere_belongs_to_no_caller():
    async with accounts("a", "b") as two:
        id_ = two[1].keep("files")["id"]
        async with serve_proxy(config_of(group("m", *two), callers=CALLERS)) as proxy:
            for key in (ALICE, BOB, ALICE):
                assert (await get(proxy, f"files/{id_}", headers=key)).status == 200
                assert ids(await get(proxy, "files", headers=key)) == []


@pytest.mark.parametrize(
    "said",
    [
        {"metadata": {"session_id": "session-1", "notes_id": "notes-1"}},
        {"tools": [{"type": "mcp", "server_label": "x", "connector_id": "connector_dropbox"}]},
        {"tools": [{"type": "file_search", "vector_store_ids": ["vs_of_nobody"]}]},
    ],
)
@pytest.mark.parametrize("names", ["a", "ab"])
@bounded()
async def test_what_a_call_says_itself_does_not_become_its_callers_by_the_answer(said, names):
    async with accounts(*names) as some:
        async with serve_proxy(config_of(group("m", *some), callers=CALLERS)) as proxy:
            for key in (ALICE, BOB, ALICE, BOB):
                for path in ("responses", "conversations"):
                    body = {"model": "m", "input": "hi"} if path == "responses" else {}
                    reply = await post(proxy, path, {**body, **said}, headers=key)
                    assert reply.status == 200, reply.body


@bounded()
async def test_what_clients_say_for_themselves_binds_no_call_to_an_account():
    async with accounts("a", "b") as two:
        async with serve_proxy(config_of(group("m", *two))) as proxy:
            said = {"metadata": {"customer_id": "customer-1"}}
            for _ in range(12):
                reply = await post(proxy, "responses", {"model": "m", "input": "hi", **said})
                follow = {"model": "m", "input": "hi", "previous_response_id": reply.json["id"]}
                assert (await post(proxy, "responses", {**follow, **said})).status == 200
                assert (await post(proxy, "batches", said)).status == 200
        assert all(account.asked for account in two)


@pytest.mark.parametrize("names", ["a", "ab"])
@pytest.mark.parametrize(
    "hidden",
    [
        b'"previous_response\\u005fid": "%b"',
        b'"previous_response_id": "\\u0072%b"',
        b'"conversation": {"id": "\\u0072%b"}',
        b'"input": [{"id": "%b"}]',
        b'"input": [{"type": "item\\u005freference", "id": "%b"}]',
    ],
)
@bounded()
async def test_an_id_of_another_caller_cannot_be_hidden(names, hidden):
    async with accounts(*names) as some:
        async with serve_proxy(config_of(group("m", *some), callers=CALLERS)) as proxy:
            body = {"model": "m", "input": "hi"}
            made = (await post(proxy, "responses", body, headers=ALICE)).json["id"].encode()
            named = hidden % (made[1:] if b"u0072" in hidden else made)
            asked = b'{"model": "m", %b}' % named
            reply = await post(proxy, "responses", asked, headers=BOB)
            assert (reply.status, reply.error["code"]) == (404, "unknown_id")


@bounded()
async def test_a_caller_reaches_only_the_accounts_of_its_groups():
    async with accounts("a", "b") as two:
        one, other = (account.keep("files")["id"] for account in two)
        limited = [{**CALLERS[0], "groups": ["x"]}, CALLERS[1]]
        config = config_of(group("x", two[0]), group("y", two[1]), callers=limited)
        async with serve_proxy(config) as proxy:
            assert (await get(proxy, f"files/{one}", headers=ALICE)).status == 200
            assert (await get(proxy, f"files/{other}", headers=ALICE)).status == 404
            assert (await get(proxy, f"files/{other}", headers=BOB)).status == 200
            reply = await get(proxy, f"files/{other}", headers=ALICE)
            assert reply.status in (404, 409)
            assert two[1].asked == [f"GET /v1/files/{other}"] * 1


@bounded()
async def test_a_list_is_not_shorter_because_its_cursor_was_deleted():
    async with accounts("a", "b") as two:
        for account in two:
            for _ in range(3):
                account.keep("files")
        async with serve_proxy(config_of(group("m", *two))) as proxy:
            page = ids(await get(proxy, "files?limit=2"))
            for id_ in page:
                assert (await delete(proxy, f"files/{id_}")).status == 200
            reply = await get(proxy, f"files?limit=2&after={page[-1]}")
            assert (reply.status, reply.error["code"]) == (404, "not_found")


@pytest.mark.clock
@bounded()
async def test_a_list_waits_for_no_account_longer_than_for_the_slowest():
    async with accounts("a", "b", "c") as three:
        for account in three:
            account.delay_s = 0.2
        async with serve_proxy(config_of(group("m", *three))) as proxy:
            loop = asyncio.get_running_loop()
            since = loop.time()
            assert (await get(proxy, "files")).status == 200
            assert loop.time() - since < 0.55
