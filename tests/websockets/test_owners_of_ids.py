"""Sessions and what accounts keep under ids: whose it is, and where."""

import base64
import json
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.frames import CONT, TEXT, Frame

from tests.support.client import ask
from tests.support.groups import group_of, two_groups
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import error_body, http
from tests.websockets.frames import bare, echoing, raw_session
from tests.websockets.realtime import realtime_vendor
from tests.websockets.waiting_for import finished

KEYS = {"alice": "sk-alice-0123456789", "bob": "sk-bob-0123456789"}
CALLERS = [{"name": name, "key": key} for name, key in KEYS.items()]
ALICE, BOB = ({"authorization": f"Bearer {key}"} for key in KEYS.values())
CREATE = '{"type": "response.create", "model": "gpt-4.1",  "input": "hi"}'
SOUND = base64.b64encode(b"x" * 999).decode()
AUDIO = json.dumps({"type": "input_audio_buffer.append", "audio": SOUND})


def naming(member):
    return CREATE.replace('"input": "hi"', member)


def session_of(proxy, headers=None):
    url = f"ws://127.0.0.1:{proxy.port}/v1/responses"
    return connect(url, additional_headers=headers)


async def created(session, message=CREATE):
    """Create a response; return its id."""
    await session.send(message)
    events = [json.loads(await session.recv()) for _ in range(3)]
    assert events[-1]["type"] == "response.completed", events
    return events[-1]["response"]["id"]


async def refused(session, message):
    """Return the status and the code of the error that a message gets."""
    await session.send(message)
    event = json.loads(await session.recv())
    assert event["type"] == "error", event
    return event["status"], event["error"]["code"]


def numbered(name):
    """Return the talk of a vendor whose responses have ids of their own."""
    made = []

    async def talk(vendor, session):
        async for message in session:
            vendor.received.append(message)
            event = json.loads(message)
            made.append(f"resp_{name}{len(made)}")
            await session.send(
                json.dumps({"type": "response.created", "response": {"id": made[-1]}})
            )
            item = {"type": "message", "id": f"msg_{made[-1]}"}
            await session.send(json.dumps({"type": "response.output_item.done", "item": item}))
            done = {"id": made[-1], "output": [item], "model": event["model"]}
            await session.send(json.dumps({"type": "response.completed", "response": done}))

    return talk


@asynccontextmanager
async def two_accounts():
    async with (
        realtime_vendor(talk=numbered("a")) as one,
        realtime_vendor(talk=numbered("b")) as two,
    ):
        yield one, two


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    "hidden",
    [
        '"previous_response_id": "%s"',
        '"previous_response\\u005fid": "%s"',
        '"previous_response_id": "\\u0072%s"',
        '"input": [{"type": "item_reference", "id": "msg_%s"}]',
        '"input": [{"type": "item\\u005freference", "id": "msg_%s"}]',
        '"input": [{"id": "msg_%s"}]',
    ],
)
@bounded()
async def test_what_a_session_created_does_not_exist_for_other_callers(count, hidden):
    async with two_accounts() as (one, two):
        vendors = [one, two][:count]
        async with serve_proxy(group_of(*vendors, callers=CALLERS)) as proxy:
            async with session_of(proxy, ALICE) as alice, session_of(proxy, BOB) as bob:
                mine = await created(alice)
                message = naming(hidden % (mine[1:] if "u0072" in hidden else mine))
                await created(bob)
                sent = len(one.received) + len(two.received)
                assert await refused(bob, message) == (404, "unknown_id")
                assert len(one.received) + len(two.received) == sent
                await created(bob)
                await created(alice, message)
            async with session_of(proxy, BOB) as bob:
                assert await refused(bob, message) == (404, "unknown_id")


@bounded()
async def test_what_a_session_created_is_continued_at_its_account():
    async with two_accounts() as (one, two):
        async with serve_proxy(group_of(one, two)) as proxy:
            for _ in range(2):
                async with session_of(proxy) as session:
                    last = await created(session)
                for _ in range(3):
                    async with session_of(proxy) as session:
                        message = naming(f'"previous_response_id": "{last}"')
                        follow_up = await created(session, message)
                        assert follow_up[:6] == last[:6]


@bounded()
async def test_a_session_in_a_fallback_continues_what_it_created_there():
    refusal = (503, error_body("overloaded"))
    async with realtime_vendor(refusal=refusal) as down, realtime_vendor(talk=numbered("b")) as up:
        config = two_groups(down, up)
        limited = [{**CALLERS[0], "groups": ["gpt-4.1"]}, CALLERS[1]]
        for callers in ([], CALLERS, limited):
            config["general_settings"]["callers"] = callers
            async with serve_proxy(config) as proxy:
                async with session_of(proxy, ALICE) as session:
                    last = await created(session)
                    await created(session, naming(f'"previous_response_id": "{last}"'))


@bounded()
async def test_an_escape_hides_no_model_of_another_group():
    async with realtime_vendor(talk=numbered("a")) as vendor:
        async with serve_proxy(group_of(vendor, callers=CALLERS)) as proxy:
            async with session_of(proxy, BOB) as session:
                await created(session)
                hidden = CREATE.replace("response.create", "response\\u002ecreate")
                message = hidden.replace("gpt-4.1", "dear")
                assert await refused(session, message) == (400, "model_not_in_session")
                assert vendor.received == [CREATE]


@bounded()
async def test_what_another_account_keeps_is_refused_in_a_session_that_goes_on():
    async with two_accounts() as (one, two):
        async with serve_proxy(group_of(one, two)) as proxy:
            async with session_of(proxy) as session, session_of(proxy) as other:
                ids = [await created(session), await created(other)]
                assert {id_[:6] for id_ in ids} == {"resp_a", "resp_b"}
                message = naming(f'"previous_response_id": "{ids[1]}"')
                assert await refused(session, message) == (400, "id_of_another_account")
                await created(session, naming(f'"previous_response_id": "{ids[0]}"'))
                # What nobody remembers may live in the session: its endpoint decides.
                await created(session, naming('"previous_response_id": "resp_of_nobody"'))


@bounded()
async def test_the_voice_of_another_caller_cannot_be_used_in_realtime():
    async with echoing() as vendor:
        vendor.answer = http({"id": "voice_alice1", "object": "voice"})
        async with serve_proxy(group_of(vendor, callers=CALLERS)) as proxy:
            made = await ask(proxy.port, "/v1/audio/voices", {"name": "x"}, headers=ALICE.items())
            assert made.status == 200
            update = {"type": "session.update", "session": {"voice": {"id": "voice_alice1"}}}
            update = json.dumps(update).encode()
            parts = [Frame(TEXT, update[:60], fin=False), Frame(CONT, update[60:])]
            after = Frame(TEXT, AUDIO.encode())
            async with raw_session(proxy.port, headers=BOB.items()) as bob:
                for frames in ([Frame(TEXT, update)], parts):
                    await bob.send(*frames, after)
                    told, audio = await bob.frames(2)
                    assert json.loads(bytes(told.data))["error"]["code"] == "unknown_id"
                    assert bare(audio) == bare(after)
            async with raw_session(proxy.port, headers=ALICE.items()) as alice:
                await alice.send(*parts, after)
                assert [bare(frame) for frame in await alice.frames(3)] == list(
                    map(bare, [*parts, after])
                )


@bounded()
async def test_messages_keep_their_order_while_ids_are_looked_up():
    async with echoing() as vendor, serve_proxy(group_of(vendor, callers=CALLERS)) as proxy:
        async with raw_session(proxy.port, headers=BOB.items()) as session:
            item = '{"type": "conversation.item.delete", "item_id": "item_%d"}'
            texts = [AUDIO if n % 3 else item % n for n in range(60)]
            await session.send(*(Frame(TEXT, text.encode()) for text in texts))
            got = [bytes(frame.data).decode() for frame in await session.frames(60)]
            assert got == texts


@bounded()
async def test_what_a_client_says_before_it_closes_arrives_and_so_does_its_close():
    async with echoing() as vendor, serve_proxy(group_of(vendor, callers=CALLERS)) as proxy:
        async with raw_session(proxy.port, headers=BOB.items()) as session:
            cancel = Frame(TEXT, b'{"type": "response.cancel", "response_id": "resp_1"}')
            for frame in (cancel, cancel):
                session.protocol.send_frame(frame)
            await session.close(1000, "bye")
        (record,) = await finished(proxy)
        assert [bare(frame) for frame in vendor.received[:2]] == [bare(cancel)] * 2
        assert vendor.closes == [(1000, "bye")]
        assert (record.answer.status, record.answer.close_code) == (101, 1000)


def sdp(place):
    """Return the answer of a vendor that has taken a WebRTC call."""
    return http(b"v=0", status=201, headers=[("location", place)], content_type="application/sdp")


async def called(proxy, headers=None):
    """Begin a WebRTC call; return the answer."""
    offer = {"content-type": "application/sdp", **(headers or {})}
    path = "/v1/realtime/calls?model=gpt-4.1"
    reply = await ask(proxy.port, path, b"v=0", headers=offer.items())
    assert reply.status == 201, reply.body
    return reply


@bounded()
async def test_a_call_is_joined_at_the_account_that_keeps_it():
    async with echoing() as one, echoing() as two:
        for number, vendor in enumerate((one, two)):
            place = f"/v1/realtime/calls/rtc_{number}?x=1"
            vendor.answer = sdp(place)
        async with serve_proxy(group_of(one, two)) as proxy:
            for _ in range(3):
                reply = await called(proxy)
                id_ = reply.header("location").partition("?")[0].rpartition("/")[2]
                for _ in range(2):
                    path = f"/v1/realtime?call_id={id_}"
                    async with raw_session(proxy.port, path) as session:
                        where = session.answer.headers["x-llmproxy-endpoint"]
                        assert where == {"rtc_0": "e0", "rtc_1": "e1"}[id_]


@bounded()
async def test_a_call_that_nobody_remembers_is_looked_for_and_then_remembered():
    missing = 404, error_body("not_found")
    async with realtime_vendor(refusal=missing) as one, realtime_vendor() as two:
        async with serve_proxy(group_of(one, two)) as proxy:
            url = f"ws://127.0.0.1:{proxy.port}/v1/realtime?call_id=rtc_sip1"
            for _ in range(3):
                async with connect(url) as session:
                    assert session.response.headers["x-llmproxy-endpoint"] == "e1"
            assert (len(one.requests), len(two.requests)) == (1, 3)
            two.refusal = missing
            with pytest.raises(InvalidStatus) as nowhere:
                async with connect(url.replace("sip1", "sip2")):
                    pass
            assert nowhere.value.response.status_code == 404
            await finished(proxy, 4)


@bounded()
async def test_a_call_of_another_caller_cannot_be_joined():
    async with echoing() as vendor:
        vendor.answer = sdp("/v1/realtime/calls/rtc_alice")
        async with serve_proxy(group_of(vendor, callers=CALLERS)) as proxy:
            await called(proxy, ALICE)
            url = f"ws://127.0.0.1:{proxy.port}/v1/realtime?call_id=rtc_alice"
            with pytest.raises(InvalidStatus) as refusal:
                async with connect(url, additional_headers=BOB):
                    pass
            assert refusal.value.response.status_code == 404
            async with connect(url, additional_headers=ALICE):
                pass
