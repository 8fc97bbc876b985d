"""Frames arrive as they were sent: both ways, of every kind and size, at the reader's pace."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import BINARY, CLOSE, CONT, PING, PONG, TEXT, Frame

from tests.support.groups import group_of
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.waiting import until
from tests.websockets.frames import bare, echoing, raw_session

MIB = 2**20


async def echoed(frames, **settings):
    """Send frames through a proxy; return what the endpoint got and what came back of the data."""
    async with echoing() as vendor, serve_proxy(group_of(vendor, **settings)) as proxy:
        async with raw_session(proxy.port) as session:
            sending = asyncio.create_task(session.send(*frames))
            data = [frame for frame in frames if frame.opcode in (CONT, TEXT, BINARY)]
            returned = await session.frames(len(data))
            await sending
            await session.close()
            return [bare(frame) for frame in vendor.received], [bare(frame) for frame in returned]


@bounded()
async def test_frames_of_text_and_bytes_pass_unchanged_both_ways():
    frames = [
        Frame(TEXT, b'{"type": "session.update",  "x": "\xc3\xa4"}'),
        Frame(BINARY, bytes(range(256)) * 5),
        Frame(TEXT, b""),
        Frame(BINARY, b"x" * 70_000),
    ]
    got, returned = await echoed(frames)
    assert got[:-1] == returned == [bare(frame) for frame in frames]
    assert got[-1][0] == CLOSE


@bounded()
async def test_fragments_stay_fragments():
    frames = [
        Frame(TEXT, b"\xc3", fin=False),  # half of a letter
        Frame(CONT, b"\xa4 and", fin=False),
        Frame(CONT, b"", fin=False),
        Frame(CONT, b" more"),
        Frame(BINARY, b"1", fin=False),
        Frame(CONT, b"2"),
    ]
    got, returned = await echoed(frames)
    assert got[:-1] == returned == [bare(frame) for frame in frames]


@bounded()
async def test_a_frame_of_16_mib_passes_both_ways():
    frame = Frame(BINARY, b"0123456789abcdef" * MIB)
    got, returned = await echoed([frame])
    assert got[0] == returned[0] == bare(frame)


@bounded()
async def test_a_message_above_max_body_bytes_closes_the_session_with_1009():
    async with echoing() as vendor, serve_proxy(group_of(vendor, max_body_bytes=2048)) as proxy:
        async with raw_session(proxy.port) as session:
            await session.send(Frame(BINARY, b"x" * 2049))
            (close,) = await session.rest()
            assert (close.opcode, session.protocol.close_rcvd.code) == (CLOSE, 1009)
        await until(lambda: proxy.events.calls)
    (call,) = proxy.events.calls
    assert call.record.answer.error == "websocket_protocol_error"
    assert call.record.answer.error_source == "client"
    assert vendor.closes == [(1001, "")]


@bounded()
async def test_pings_are_answered_by_the_other_end():
    async with echoing() as vendor, serve_proxy(group_of(vendor)) as proxy:
        async with raw_session(proxy.port) as session:
            await session.send(Frame(PING, b"one"))
            assert bare(await session.event()) == (PONG, True, b"one")
            assert [bare(frame) for frame in vendor.received] == [(PING, True, b"one")]
            vendor.ends[0].send(Frame(PING, b"two"))
            assert bare(await session.event()) == (PING, True, b"two")
            await until(lambda: len(vendor.received) == 2)
            assert bare(vendor.received[1]) == (PONG, True, b"two")


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "bye"), (4321, "ä reason")])
@bounded()
async def test_a_close_is_passed_on_with_its_code_and_reason(code, reason):
    async with echoing() as vendor, serve_proxy(group_of(vendor)) as proxy:
        async with raw_session(proxy.port) as session:
            (close,) = await session.close(code, reason)
            assert close.opcode == CLOSE
            assert session.protocol.close_rcvd.code == code
        await until(lambda: vendor.closes and proxy.events.calls)
        assert vendor.closes == [(code, reason)]
        async with raw_session(proxy.port) as session:
            end = vendor.ends[-1]
            end.protocol.send_close(code, reason)
            end.transport.write(b"".join(end.protocol.data_to_send()))
            await session.rest()
            received = session.protocol.close_rcvd
            assert (received.code, received.reason) == (code, reason)
        await until(lambda: len(proxy.events.calls) == 2)
    for call in proxy.events.calls:
        assert call.record.answer.close_code == code
        assert call.record.answer.error is None


@bounded()
async def test_a_close_without_a_code_stays_without_one():
    async with echoing() as vendor, serve_proxy(group_of(vendor)) as proxy:
        async with raw_session(proxy.port) as session:
            (close,) = await session.close(None)
            assert close.data == b""
        await until(lambda: vendor.closes)
        assert vendor.closes == [(1005, "")]


@bounded()
async def test_frames_that_follow_the_request_at_once_are_not_lost():
    async with echoing() as vendor, serve_proxy(group_of(vendor)) as proxy:
        early = Frame(TEXT, b"early").serialize(mask=True)
        async with raw_session(proxy.port, early=early) as session:
            assert bare(await session.event()) == (TEXT, True, b"early")


@bounded()
async def test_bytes_that_are_no_frames_close_the_session_with_1002():
    async with echoing() as vendor, serve_proxy(group_of(vendor)) as proxy:
        async with raw_session(proxy.port) as session:
            await session.send_raw(b"GET / HTTP/1.1\r\n\r\n")
            await session.rest()
            assert session.protocol.close_rcvd.code == 1002
        await until(lambda: vendor.closes)
        assert vendor.closes == [(1001, "")]


@bounded()
async def test_an_end_that_does_not_read_stops_the_other_one():
    async with echoing() as vendor, serve_proxy(group_of(vendor)) as proxy:
        async with raw_session(proxy.port) as session:
            await session.send(Frame(TEXT, b"begin"))
            await session.event()
            piece = Frame(BINARY, b"x" * 64 * 1024)
            end = vendor.ends[0]
            for _ in range(512):  # 32 MiB; nobody reads
                end.send(piece)
            await asyncio.sleep(0.5)
            unsent = end.transport.get_write_buffer_size()
            assert unsent > 16 * MIB  # the rest waits where it came from
            got = [bare(frame) for frame in await session.frames(512)]
            assert got == [bare(piece)] * 512


frame_lists = st.lists(
    st.tuples(st.sampled_from((TEXT, BINARY)), st.lists(st.binary(max_size=300), min_size=1)),
    max_size=8,
)


@settings(max_examples=20, deadline=None)
@given(messages=frame_lists)
def test_any_messages_in_any_fragments_pass_unchanged(messages):
    frames = []
    for opcode, parts in messages:
        for number, part in enumerate(parts, 1):
            kind = opcode if number == 1 else CONT
            frames.append(Frame(kind, part, fin=number == len(parts)))

    @bounded()
    async def run():
        got, returned = await echoed(frames)
        assert got[:-1] == returned == [bare(frame) for frame in frames]

    run()
