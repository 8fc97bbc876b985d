"""Endpoints that answer with what no API answers: a verdict for each, and no traceback."""

import asyncio
import contextlib
import gzip
import json
import socket
from contextlib import AsyncExitStack, asynccontextmanager

from tests.support.run import bounded
from tests.tools.doctor.live import KEY, config_of, entry, examined
from tests.tools.doctor.plants import ANSWER, events, reply, whole

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
CLOSED = b"connection: close\r\n\r\n"


@asynccontextmanager
async def server(serve):
    """A server of raw bytes. Yields its port."""

    async def guarded(reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()

    listening = await asyncio.start_server(guarded, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


async def asked(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
    await reader.readexactly(length)


def saying(content):
    async def serve(reader, writer):
        await asked(reader)
        writer.write(content)
        await writer.drain()

    return serve


def json_of(content):
    return saying(whole(body=content))


def repeating(head, piece, pause_s):
    async def serve(reader, writer):
        await asked(reader)
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return serve


async def resetting(reader, writer):
    await asked(reader)
    linger = b"\1\0\0\0\0\0\0\0"
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def in_drips(reader, writer):
    await asked(reader)
    for byte in whole():
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.02)


DEEP = b"[" * 100_000 + b"]" * 100_000
# Name: the server, the one code that is expected, and words of its cause.
HOSTILE = {
    "drips": (in_drips, "no_answer", "did not begin"),
    "head-without-end": (repeating(HEAD, b"x-a: b\r\n", 0.1), "no_answer", "did not begin"),
    "body-without-end": (repeating(HEAD + b"\r\n", b" ", 0.1), "no_answer", "did not end"),
    "endless": (repeating(HEAD + b"\r\n", b"1" * 65536, 0), "call_failed", "1,048,576 bytes"),
    "reset": (resetting, "broken_answer", "reset before an answer"),
    "head-too-large": (saying(HEAD + b"x-a: " + b"b" * 1_000_000), "broken_answer", "larger than"),
    "bad-chunk": (
        saying(HEAD + b"transfer-encoding: chunked\r\n\r\nZZ\r\n{}"),
        "broken_answer",
        "chunk size",
    ),
    "too-short": (saying(HEAD + b"content-length: 50\r\n\r\n{}"), "broken_answer", "in the middle"),
    "two-lengths": (
        saying(HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}"),
        "broken_answer",
        "Content-Length",
    ),
    "other-protocol": (saying(b"SSH-2.0-OpenSSH\r\n"), "broken_answer", "Expected HTTP/"),
    "switching": (saying(b"HTTP/1.1 101 x\r\n\r\n"), "broken_answer", "101"),
    "login-page": (
        saying(reply(302, {"location": f"https://login.example/?k={KEY}"}, b"")),
        "redirected",
        "(status 302): https://login.example/",
    ),
    "no-content": (saying(b"HTTP/1.1 204 x\r\n" + CLOSED), "wrong_dialect", "status 204"),
    "empty": (json_of(b""), "wrong_dialect", "the body is empty"),
    "half-json": (json_of(b'{"choices": ['), "wrong_dialect", 'application/json: {"choices": ['),
    "deep": (json_of(DEEP), "wrong_dialect", "no JSON"),
    "deep-inside": (json_of(b'{"choices":' + DEEP + b"}"), "wrong_dialect", "no JSON"),
    "deep-error": (saying(reply(400, {}, b'{"error":' + DEEP + b"}")), "call_failed", "400"),
    "error-with-200": (json_of(b'{"error": {"message": "no"}}'), "wrong_dialect", "no list"),
    "brotli": (saying(whole({"content-encoding": "br"}, body=b"x")), "broken_encoding", "br"),
    "bomb": (
        saying(whole({"content-encoding": "gzip"}, body=gzip.compress(b" " * 9_000_000))),
        "broken_encoding",
        "gzip",
    ),
    "page-with-404": (saying(reply(404, {}, b"<html>nginx</html>")), "model_not_found", "nginx"),
    "limit": (saying(reply(429, {"retry-after": "nan"}, b"[1]")), "throttled", "429"),
    "never-streams": (saying(whole()), "wrong_dialect", "no stream of events"),
    "only-streams": (
        saying(whole(body=b"".join(events()), kind="text/event-stream")),
        "wrong_dialect",
        "text/event-stream: data: ",
    ),
    "echoes-the-key": (
        json_of(b" " * 480 + b'{"a": "' + b"x" * 90 + KEY.encode() + b'"}'),
        "wrong_dialect",
        "no list `choices`",
    ),
}


@bounded(seconds=60)
async def test_each_odd_answer_has_its_verdict(tmp_path):
    async with AsyncExitStack() as stack:
        entries = []
        for name, (serve, _, _) in HOSTILE.items():
            entries.append(entry(name, await stack.enter_async_context(server(serve))))
        report, said = await examined(tmp_path, config_of(*entries), "--timeout", "2")

    found = {}
    for finding in report["findings"]:
        group, _, name = finding["subject"].partition("/")
        if group == "gpt-4.1" and finding["code"] not in ("no_limit_headers", "slow_first_byte"):
            found.setdefault(name, []).append((finding["code"], finding["cause"]))
    assert {name: [code for code, _ in told] for name, told in found.items()} == {
        name: [code] for name, (_, code, _) in HOSTILE.items()
    }
    for name, (_, _, words) in HOSTILE.items():
        ((_, cause),) = found[name]
        assert words in cause
    assert KEY[:8] not in said.stdout + said.stderr
    assert "Traceback" not in said.stderr
    assert said.status == 2
    assert report["notes"] == []  # nothing to compare


@bounded()
async def test_an_answer_in_very_many_pieces_is_read_in_time(tmp_path):
    body = json.dumps(ANSWER | {"pad": " " * 300_000}).encode()
    chunked = b"".join(b"1\r\n" + body[at : at + 1] + b"\r\n" for at in range(len(body)))
    head = HEAD + b"transfer-encoding: chunked\r\n\r\n"

    async with server(saying(head + chunked + b"0\r\n\r\n")) as port:
        report, _ = await examined(tmp_path, config_of(entry("a", port)), "--timeout", "5")

    codes = {finding["code"] for finding in report["findings"]}
    assert "no_answer" not in codes
    assert "wrong_dialect" in codes  # it does not stream
