"""`stream_usage: ask`: the endpoint is asked for the usage, and the client sees none of it."""

import json

import pytest

from llmproxy.batteries.stream_usage.asking import asking_for_usage
from tests.support.client import STREAM, ask
from tests.support.groups import group_of
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import LAST_CHUNK, chunk, error_body, http, scripted, sse_head
from tests.token_estimates.streams import event

WORDS = ["Hel", "lo", ' "usage": ', ',"usage":null', "}"]
USED = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
DONE = b"data: [DONE]\n\n"
PRICED = {"price": {"input": 1, "output": 10}}


def compact(payload):
    return f"data: {json.dumps(payload, separators=(',', ':'))}\n\n".encode()


def words(write, *, asked, nulls, first=False):
    """Return the events of an answer, as a vendor writes them."""
    usage = {"usage": None} if asked or nulls else {}
    for word in WORDS:
        choices = {"choices": [{"index": 0, "delta": {"content": word, "usage": None}}]}
        members = {**usage, **choices} if first else {**choices, **usage}
        yield write({"id": "chatcmpl-1", **members, "obfuscation": "ab"})
    yield write({"id": "chatcmpl-1", "choices": [{"delta": {}, "finish_reason": "stop"}], **usage})


def own_chunk(write, asked, **style):
    """The usage in a chunk of its own (OpenAI)."""
    yield from words(write, asked=asked, **style)
    if asked:
        yield write({"id": "chatcmpl-1", "choices": [], "usage": USED})
    yield DONE


def last_chunk(write, asked, **style):
    """The usage in the last chunk of text."""
    *begun, _ = words(write, asked=False, **style)
    yield from begun
    usage = {"usage": USED} if asked else {"usage": None} if style["nulls"] else {}
    last = {"id": "chatcmpl-1", "choices": [{"delta": {}, "finish_reason": "stop"}]}
    yield write({**last, **usage})
    yield DONE


def vendor(answer, write=event, size=None, **style):
    """Return a vendor that reports usage if it is asked. `size`: of the pieces that it sends."""

    def reply(received, number):
        options = json.loads(received.body).get("stream_options") or {}
        body = b"".join(answer(write, options.get("include_usage", False), **style))
        step = size or len(body)
        pieces = [body[at : at + step] for at in range(0, len(body), step)]
        return [sse_head(), *map(chunk, pieces), LAST_CHUNK]

    return scripted(reply)


def asking(server):
    config = group_of(server, stream_usage="ask")
    config["model_groups"][0]["models"][0] |= PRICED
    return config


@pytest.mark.parametrize("size", [None, 7, 61])
@pytest.mark.parametrize("first", [False, True], ids=["usage last", "usage first"])
@pytest.mark.parametrize("nulls", [False, True], ids=["no nulls", "nulls unasked"])
@pytest.mark.parametrize("write", [event, compact])
@pytest.mark.parametrize("answer", [own_chunk, last_chunk])
@bounded()
async def test_the_client_sees_byte_for_byte_what_it_would_have_seen(
    answer, write, nulls, first, size
):
    unasked = b"".join(answer(write, asked=False, nulls=nulls, first=first))
    async with vendor(answer, write, size, nulls=nulls, first=first) as server:
        async with serve_proxy(asking(server)) as proxy:
            replies = [await ask(proxy.port, body=STREAM) for _ in range(3)]
            assert [reply.body for reply in replies] == [unasked] * 3
            records = [call.record for call in proxy.events.calls]
            assert [record.cost.basis for record in records] == ["estimated", "exact", "exact"]
            assert records[1].cost.nano_usd == 9 * 1_000 + 5 * 10_000
            assert [b"include_usage" in sent.body for sent in server.received] == [
                False,
                True,
                True,
            ]


@bounded()
async def test_a_client_that_asks_gets_the_usage():
    asked = {**STREAM, "stream_options": {"include_usage": True}}
    whole = b"".join(own_chunk(event, asked=True, nulls=False))
    async with vendor(own_chunk, nulls=False) as server, serve_proxy(asking(server)) as proxy:
        await ask(proxy.port, body=STREAM)
        assert (await ask(proxy.port, body=asked)).body == whole
        assert proxy.events.calls[-1].record.cost.basis == "exact"


@bounded()
async def test_an_endpoint_that_reports_unasked_is_never_asked():
    def reply(received, number):
        events = own_chunk(event, asked=True, nulls=False)
        return [sse_head(), *map(chunk, events), LAST_CHUNK]

    async with scripted(reply) as server, serve_proxy(asking(server)) as proxy:
        replies = [await ask(proxy.port, body=STREAM) for _ in range(2)]
        assert all(b'"completion_tokens"' in reply.body for reply in replies)
        assert not any(b"include_usage" in sent.body for sent in server.received)


@bounded()
async def test_a_refused_question_is_not_asked_again_and_fails_no_call():
    def reply(received, number):
        if b"stream_options" in received.body:
            message = "Unrecognized request argument supplied: stream_options"
            return [http(error_body("unknown_parameter", message=message), status=400)]
        return [sse_head(), *map(chunk, own_chunk(event, asked=False, nulls=False)), LAST_CHUNK]

    async with scripted(reply) as server, serve_proxy(asking(server)) as proxy:
        for _ in range(4):
            assert (await ask(proxy.port, body=STREAM)).status == 200
        asked = [b"stream_options" in sent.body for sent in server.received]
        assert asked == [False, True, False, False, False]


@pytest.mark.parametrize(
    "own",
    [{"stream_options": {"bogus": 1}}, {"user": "stream_options, bogus"}],
    ids=["an option of its own", "a text that is quoted"],
)
@bounded()
async def test_one_clients_mistake_does_not_end_the_question_for_the_others(own):
    def reply(received, number):
        if b"bogus" in received.body:
            return [http(error_body("unknown", message="Wrong: stream_options"), status=400)]
        return [sse_head(), *map(chunk, own_chunk(event, asked=False, nulls=False)), LAST_CHUNK]

    async with scripted(reply) as server, serve_proxy(asking(server)) as proxy:
        await ask(proxy.port, body=STREAM)
        wrong = await ask(proxy.port, body={**STREAM, **own})
        assert (wrong.status, wrong.error["message"]) == (400, "Wrong: stream_options")
        await ask(proxy.port, body=STREAM)
        asked = [b"include_usage" in sent.body for sent in server.received]
        assert asked == [False, True, False, True]


@bounded()
async def test_another_refusal_reaches_the_client():
    def reply(received, number):
        if number == 1:
            return [sse_head(), *map(chunk, own_chunk(event, asked=False, nulls=False)), LAST_CHUNK]
        return [http(error_body("context_length_exceeded"), status=400)]

    async with scripted(reply) as server, serve_proxy(asking(server)) as proxy:
        await ask(proxy.port, body=STREAM)
        refused = await ask(proxy.port, body=STREAM)
        assert (refused.status, refused.error["code"]) == (400, "context_length_exceeded")


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({}, {"include_usage": True}),
        ({"include_usage": False}, {"include_usage": True}),
        ({"include_obfuscation": False}, {"include_obfuscation": False, "include_usage": True}),
        (None, {"include_usage": True}),
    ],
)
def test_other_options_of_the_stream_stay(options, asked):
    body = {"model": "m", "stream_options": options, "note": '"stream_options" in a text'}
    assert json.loads(asking_for_usage(json.dumps(body).encode())) == {
        **body,
        "stream_options": asked,
    }


def test_a_text_about_options_is_no_option():
    body = {"model": "m", "messages": [{"content": 'about "stream_options"'}]}
    asking = json.loads(asking_for_usage(json.dumps(body).encode()))
    assert asking == {**body, "stream_options": {"include_usage": True}}


def test_a_body_that_cannot_be_read_is_left_alone():
    assert asking_for_usage(b"[1]") is None
    assert asking_for_usage(b'{"stream_options": {') is None
