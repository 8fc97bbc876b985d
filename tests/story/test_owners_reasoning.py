"""Reasoning that one account alone can read goes back to it."""

import json

import pytest

from tests.admin.watching import post as admin
from tests.support.accounts import accounts, config_of, group
from tests.support.client import ask
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import LAST_CHUNK, chunk, error_body, http, scripted, sse_head

TURNS = 6
EXPLAIN = [("x-llmproxy-explain", "1")]


def output_of(reply):
    assert reply.status == 200, reply.body
    if reply.header("content-type") == "application/json":
        return reply.json["output"]
    last = [line for line in reply.body.split(b"\n") if line.startswith(b"data: ")][-1]
    return json.loads(last[6:])["response"]["output"]


async def turn(proxy, history, *, stream=False, **more):
    body = {"model": "m", "store": False, "input": history, "stream": stream, **more}
    return await ask(proxy.port, "/v1/responses", body)


def begin(number):
    return [{"role": "user", "content": f"talk {number}"}]


@pytest.mark.parametrize("stream", [False, True])
@bounded()
async def test_a_conversation_stays_where_its_reasoning_can_be_read(stream):
    async with accounts("a", "b", "c") as three:
        async with serve_proxy(config_of(group("m", *three))) as proxy:
            talks = [begin(number) for number in range(4)]
            for _ in range(TURNS):
                for talk in talks:
                    talk.extend(output_of(await turn(proxy, talk, stream=stream)))
                    talk.append({"role": "user", "content": "go on"})
        assert [account.strangers for account in three] == [[], [], []]
        assert all(account.asked for account in three), "new talks go everywhere"


@bounded()
async def test_reasoning_of_unknown_origin_finds_its_account_and_stays_there():
    async with accounts("a", "b", "c") as three:
        async with serve_proxy(config_of(group("m", *three))) as before:
            talk = begin(1) + output_of(await turn(before, begin(1)))
        maker = next(account for account in three if account.asked)
        async with serve_proxy(config_of(group("m", *three))) as proxy:  # knows nothing
            for _ in range(4):
                talk += output_of(await turn(proxy, talk))
            refused = sum(len(account.strangers) for account in three)
            assert refused <= 2
            assert len(maker.asked) == 5


@bounded()
async def test_what_no_account_can_read_is_refused_in_the_vendors_words():
    async with accounts("a", "b") as two:
        async with serve_proxy(config_of(group("m", *two))) as proxy:
            lost = [{"type": "reasoning", "id": "rs_1", "encrypted_content": "lost" * 20}]
            reply = await turn(proxy, lost)
            assert (reply.status, reply.error["code"]) == (400, "invalid_encrypted_content")
            assert sorted(len(account.asked) for account in two) == [1, 1]


@bounded()
async def test_while_the_account_is_down_others_may_refuse_what_it_made():
    async with accounts("a", "b") as two:
        async with serve_proxy(config_of(group("m", *two), num_retries=0)) as proxy:
            talk = begin(1) + output_of(await turn(proxy, begin(1)))
            maker, other = sorted(two, key=lambda account: -len(account.asked))
            maker.fails = 503
            reply = await turn(proxy, talk)
            assert reply.status in (400, 503)
            assert other.strangers
            maker.fails = 0


@bounded()
async def test_a_drained_maker_is_not_asked():
    async with accounts("a", "b") as two:
        async with serve_proxy(config_of(group("m", *two))) as proxy:
            talk = begin(1) + output_of(await turn(proxy, begin(1)))
            maker, _ = sorted(two, key=lambda account: -len(account.asked))
            await admin(proxy, "/admin/drain", {"group": "m", "endpoint": maker.name})
            asked = len(maker.asked)
            await turn(proxy, talk)
            assert len(maker.asked) == asked


@bounded()
async def test_the_trace_says_why_a_call_went_where_it_went():
    async with accounts("a", "b") as two:
        async with serve_proxy(config_of(group("m", *two))) as proxy:
            talk = begin(1) + output_of(await turn(proxy, begin(1)))
            body = {"model": "m", "store": False, "input": talk}
            reply = await ask(proxy.port, "/v1/responses", body, headers=EXPLAIN)
            assert "another account made what the call brings" in reply.header("x-llmproxy-explain")
            stored = await ask(proxy.port, "/v1/responses", {"model": "m", "input": "hi"})
            follow = {"model": "m", "input": "x", "previous_response_id": stored.json["id"]}
            reply = await ask(proxy.port, "/v1/responses", follow, headers=EXPLAIN)
            assert "does not keep what the call names" in reply.header("x-llmproxy-explain")


# ---- thinking of Anthropic's models


def thinker(name):
    """A vendor that takes only thinking blocks that it has signed itself."""

    def answer(received, number):
        body = json.loads(received.body)
        for message in body["messages"]:
            blocks = message["content"] if isinstance(message["content"], list) else []
            for block in blocks:
                if not block.get("signature", name).startswith(name):
                    words = "messages.1.content.0: Invalid `signature` in `thinking` block"
                    error = {"type": "invalid_request_error", "message": words}
                    return [http({"type": "error", "error": error}, status=400)]
        signature = name * 12 + str(number)
        thought = {"type": "thinking", "thinking": "hm", "signature": signature}
        content = [thought, {"type": "text", "text": "ok"}]
        if not body.get("stream"):
            return [http({"type": "message", "role": "assistant", "content": content})]
        events = [
            {"type": "message_start", "message": {"id": "msg_1", "content": []}},
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "thinking_delta", "thinking": "hm"},
            },
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "signature_delta", "signature": signature},
            },
            {"type": "message_stop"},
        ]
        lines = [f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in events]
        return [sse_head(), *map(chunk, lines), LAST_CHUNK]

    return answer


def signature_in(reply):
    assert reply.status == 200, reply.body
    return json.loads(reply.body.partition(b'"signature": ')[2].partition(b"}")[0])


@pytest.mark.parametrize("stream", [False, True])
@bounded()
async def test_signed_thinking_goes_back_to_who_signed_it(stream):
    async with scripted(thinker("abcd")) as one, scripted(thinker("wxyz")) as other:
        models = [
            {
                "name": name,
                "provider": "anthropic",
                "params": {"base_url": vendor.base_url, "api_key": f"sk-ant-{name}"},
            }
            for name, vendor in (("one", one), ("other", other))
        ]
        config = {"model_groups": [{"model_group": "claude", "models": models}]}
        async with serve_proxy(config) as proxy:
            talks = [[{"role": "user", "content": f"talk {number}"}] for number in range(3)]
            for _ in range(4):
                for talk in talks:
                    body = {"model": "claude", "max_tokens": 9, "messages": talk, "stream": stream}
                    reply = await ask(proxy.port, "/v1/messages", body)
                    thought = {"type": "thinking", "thinking": "", "signature": signature_in(reply)}
                    talk.append({"role": "assistant", "content": [thought]})
                    talk.append({"role": "user", "content": "go on"})
            assert len(one.received) + len(other.received) == 12, "none was refused"
            assert one.received
            assert other.received
        async with serve_proxy(config) as proxy:  # knows nothing
            body = {"model": "claude", "max_tokens": 9, "messages": talks[0]}
            for _ in range(2):
                assert (await ask(proxy.port, "/v1/messages", body)).status == 200


@bounded()
async def test_another_mistake_of_the_client_is_not_tried_elsewhere():
    refusing = http(error_body("invalid_prompt"), status=400)
    async with scripted(lambda *_: [refusing]) as one, scripted(lambda *_: [refusing]) as other:
        models = [
            {
                "name": vendor.base_url[-9:-3].strip(":/"),
                "model": "m",
                "params": {"base_url": vendor.base_url, "api_key": f"sk-{vendor.port}"},
            }
            for vendor in (one, other)
        ]
        config = {"model_groups": [{"model_group": "m", "models": models}]}
        async with serve_proxy(config) as proxy:
            assert (await turn(proxy, begin(1))).status == 400
            assert len(one.received) + len(other.received) == 1
