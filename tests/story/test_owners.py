"""What an account keeps is found there: files, batches, stored responses, conversations."""

import json

import pytest

from tests.admin.watching import post as admin
from tests.support.accounts import Account, accounts, config_of, group
from tests.support.client import ask
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import http, scripted

FORM = [("content-type", "multipart/form-data; boundary=xx")]


def form(content="{}", purpose="batch"):
    return (
        f'--xx\r\ncontent-disposition: form-data; name="purpose"\r\n\r\n{purpose}\r\n'
        '--xx\r\ncontent-disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
        f"{content}\r\n--xx--\r\n"
    ).encode()


async def get(proxy, path, **more):
    return await ask(proxy.port, f"/v1/{path}", method="GET", **more)


async def post(proxy, path, body, **more):
    return await ask(proxy.port, f"/v1/{path}", body, **more)


async def made(proxy, path, body, **more):
    reply = await post(proxy, path, body, **more)
    assert reply.status == 200, reply.body
    return reply.json["id"]


async def drain(proxy, account):
    reply = await admin(proxy, "/admin/drain", {"group": "m", "endpoint": account.name})
    assert reply.status == 200


CREATED = {
    "files": form(),
    "batches": {"endpoint": "/v1/responses", "completion_window": "24h"},
    "conversations": {"metadata": {"topic": "x"}},
    "vector_stores": {"name": "x"},
    "uploads": {"filename": "a", "bytes": 1, "mime_type": "a/b", "purpose": "batch"},
    "responses": {"model": "m", "input": "hi"},
    "videos": {"model": "m", "prompt": "a cat"},
    "containers": {"name": "x"},
    "fine_tuning/jobs": {"method": {"type": "dpo"}},
}


def headers_for(kind):
    return FORM if kind == "files" else ()


@pytest.mark.parametrize("kind", CREATED)
@bounded()
async def test_what_was_created_is_found_changed_and_deleted_where_it_is(kind):
    async with accounts("a", "b", "c") as three:
        async with serve_proxy(config_of(group("m", *three))) as proxy:
            for _ in range(6):
                id_ = await made(proxy, kind, CREATED[kind], headers=headers_for(kind))
                for path in (f"{kind}/{id_}", f"{kind}/{id_}/content", f"{kind}/{id_}/items"):
                    assert (await get(proxy, path)).status == 200
                assert (await post(proxy, f"{kind}/{id_}/cancel", {})).status == 200
                gone = await ask(proxy.port, f"/v1/{kind}/{id_}", method="DELETE")
                assert gone.json == {"id": id_, "deleted": True}
        assert [account.strangers for account in three] == [[], [], []]
        assert all(account.asked for account in three)


NAMING = {
    "batches": lambda id_: {"input_file_id": id_},
    "vector_stores": lambda id_: {"file_ids": [id_]},
    "fine_tuning/jobs": lambda id_: {"model": "m", "training_file": id_},
    "responses": lambda id_: {
        "model": "m",
        "input": [{"role": "user", "content": [{"type": "input_file", "file_id": id_}]}],
    },
    "chat/completions": lambda id_: {
        "model": "m",
        "messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": id_}}]}],
    },
}


@pytest.mark.parametrize("kind", NAMING)
@bounded()
async def test_a_call_that_names_a_file_in_its_body_goes_to_the_account_that_keeps_it(kind):
    async with accounts("a", "b", "c") as three:
        async with serve_proxy(config_of(group("m", *three))) as proxy:
            for _ in range(6):
                file = await made(proxy, "files", form(), headers=FORM)
                owner = next(one for one in three if one.knows(file))
                before = len(owner.asked)
                await post(proxy, kind, NAMING[kind](file))
                assert owner.asked[before:] == [f"POST /v1/{kind}"]
        assert [account.strangers for account in three] == [[], [], []]


@pytest.mark.parametrize("stream", [False, True])
@bounded()
async def test_a_conversation_is_continued_at_the_account_that_keeps_it(stream):
    async with accounts("a", "b", "c") as three:
        async with serve_proxy(config_of(group("m", *three))) as proxy:
            for _ in range(5):
                conversation = await made(proxy, "conversations", {})
                body = {"model": "m", "input": "hi", "stream": stream, "conversation": conversation}
                assert (await post(proxy, "responses", body)).status == 200
                reply = await post(
                    proxy, "responses", {"model": "m", "input": "hi", "stream": stream}
                )
                for _ in range(3):
                    id_ = json.loads(reply.body.partition(b'"id": ')[2].partition(b",")[0])
                    body = {**body, "conversation": None, "previous_response_id": id_}
                    reply = await post(proxy, "responses", body)
                    assert reply.status == 200
                    assert (await get(proxy, f"responses/{id_}")).status == 200
        assert [account.strangers for account in three] == [[], [], []]


@bounded()
async def test_what_an_answer_tells_of_later_is_remembered_too():
    async with accounts("a", "b") as two:
        async with serve_proxy(config_of(group("m", *two))) as proxy:
            for _ in range(4):
                reply = await post(proxy, "batches", {})
                output = reply.json["output_file_id"]
                assert (await ask(proxy.port, f"/v1/files/{output}", method="DELETE")).status == 200
        assert [account.strangers for account in two] == [[], []]


@bounded()
async def test_ids_of_two_accounts_in_one_call_are_refused_with_both_names():
    async with accounts("a", "b") as two:
        async with serve_proxy(config_of(group("m", *two))) as proxy:
            files = [await made(proxy, "files", form(), headers=FORM) for _ in range(2)]
            reply = await post(proxy, "vector_stores", {"file_ids": files})
            assert (reply.status, reply.error["code"]) == (400, "ids_of_two_accounts")
            assert all(file in reply.error["message"] for file in files)


@bounded()
async def test_a_call_about_what_is_kept_is_sent_as_it_came_without_a_model():
    async with accounts("a", "b") as two:
        async with serve_proxy(config_of(group("m", *two))) as proxy:
            await made(proxy, "batches", b'{"completion_window": "24h"}')
            await made(proxy, "files", form(), headers=FORM)
            bodies = [received.body for one in two for received in one.vendor.received]
            assert sorted(bodies) == sorted([b'{"completion_window": "24h"}', form()])


@bounded()
async def test_one_endpoint_in_each_of_two_groups_is_enough():
    async with accounts("a", "b") as (one, other):
        config = config_of(group("research", one), group("chat", other))
        async with serve_proxy(config) as proxy:
            for model, account in (("research", one), ("chat", other)):
                id_ = await made(proxy, "responses", {"model": model, "input": "x"})
                assert account.knows(id_)
                assert (await get(proxy, f"responses/{id_}")).status == 200
            assert one.strangers + other.strangers == []


# ---- where new things go


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("batches?model=second", {}, ()),
        ("batches", {}, [("x-llmproxy-group", "second")]),
        ("files", form('{"custom_id": "1", "body": {"model": "second"}}'), FORM),
    ],
)
@bounded()
async def test_a_new_thing_goes_to_the_group_that_the_client_names(path, body, headers):
    async with accounts("a", "b") as (one, other):
        config = config_of(group("first", one), group("second", other))
        async with serve_proxy(config) as proxy:
            await made(proxy, path, body, headers=list(headers))
            assert (len(one.asked), len(other.asked)) == (0, 1)


@pytest.mark.parametrize(("names", "taken"), [(("x", "y"), 0), (("x", "*"), 1)])
@bounded()
async def test_without_a_name_it_goes_to_the_star_else_to_the_first_group(names, taken):
    async with accounts("a", "b") as both:
        config = config_of(*(group(name, one) for name, one in zip(names, both, strict=True)))
        async with serve_proxy(config) as proxy:
            await made(proxy, "vector_stores", {"name": "x"})
            assert [len(one.asked) for one in both].index(1) == taken


@bounded()
async def test_a_group_that_does_not_exist_is_named_in_the_refusal():
    async with accounts("a", "b") as both:
        async with serve_proxy(config_of(group("m", *both))) as proxy:
            reply = await post(proxy, "batches", {}, headers=[("x-llmproxy-group", "nobody")])
            assert (reply.status, reply.error["code"]) == (404, "model_not_found")


# ---- an owner that cannot be asked


@bounded()
async def test_a_drained_owner_is_named_and_no_other_account_is_asked():
    async with accounts("a", "b") as two:
        async with serve_proxy(config_of(group("m", *two))) as proxy:
            file = await made(proxy, "files", form(), headers=FORM)
            owner = next(one for one in two if one.knows(file))
            await drain(proxy, owner)
            reply = await get(proxy, f"files/{file}")
            assert reply.status == 503
            assert f"{owner.name}: skipped, drained by the operator" in reply.error["message"]
            assert [one.strangers for one in two] == [[], []]


@bounded()
async def test_another_endpoint_of_the_same_account_serves_in_place_of_a_drained_one():
    async with accounts("a", "b") as two:
        config = config_of(group("m", *two), group("other", *two))
        async with serve_proxy(config) as proxy:
            file = await made(proxy, "files", form(), headers=FORM)
            owner = next(one for one in two if one.knows(file))
            await drain(proxy, owner)
            assert (await get(proxy, f"files/{file}")).status == 200


@bounded()
async def test_an_id_of_an_account_that_the_model_does_not_have_is_refused():
    async with accounts("a", "b", "c") as (one, other, third):
        config = config_of(group("x", one), group("y", other, third))
        async with serve_proxy(config) as proxy:
            id_ = await made(proxy, "responses", {"model": "x", "input": "hi"})
            body = {"model": "y", "input": "hi", "previous_response_id": id_}
            reply = await post(proxy, "responses", body)
            assert (reply.status, reply.error["code"]) == (400, "id_of_another_account")
            assert "'x'" in reply.error["message"]


# ---- realtime: secrets, and calls over WebRTC


@bounded()
async def test_a_realtime_call_is_led_where_it_was_begun():
    def answering(name):
        def answer(received, number):
            if received.line.startswith("POST /v1/realtime/calls "):
                where = ("location", f"/v1/realtime/calls/rtc_{name}{number}aaa")
                return [http(b"v=0", status=201, headers=[where], content_type="application/sdp")]
            return [http({"ok": True}, status=200 if f"rtc_{name}" in received.line else 404)]

        return answer

    async with scripted(answering("a")) as one, scripted(answering("b")) as other:
        members = [Account(name, vendor) for name, vendor in (("a", one), ("b", other))]
        config = config_of(group("voice", *members), group("chat", members[0]))
        async with serve_proxy(config) as proxy:
            for _ in range(4):
                sdp = [("content-type", "application/sdp")]
                begun = await post(proxy, "realtime/calls", b"v=0 offer", headers=sdp)
                assert begun.status == 201
                id_ = begun.header("location").rpartition("/")[2]
                ended = await post(proxy, f"realtime/calls/{id_}/hangup", {})
                assert ended.status == 200
        assert b"v=0 offer" in {received.body for received in one.received + other.received}


@bounded()
async def test_a_secret_is_made_in_the_group_of_its_session_and_not_kept():
    async with accounts("a", "b") as (one, other):
        config = config_of(group("chat", one), group("voice", other))
        async with serve_proxy(config) as proxy:
            session = {"session": {"type": "realtime", "model": "voice"}}
            reply = await post(proxy, "realtime/client_secrets", session)
            assert reply.json["value"] == "ek_secret"
            assert json.loads(other.vendor.received[0].body) == session
            assert one.asked == []
