"""The endpoint gets what it gets directly, and the client what the endpoint sent: byte by byte."""

import gzip
import json
import os

import pytest

from llmproxy.batteries.settings import FullConfig
from llmproxy.tools.doctor.beside import opened, proxy_beside
from llmproxy.tools.doctor.bytewise import answer_differences, request_differences
from llmproxy.tools.doctor.examination import Trial, endpoints_to_examine, examine
from llmproxy.tools.doctor.recorder import WireMessage, WireRecorder
from llmproxy.tools.doctor.through import compare_recorded
from tests.support.run import bounded
from tests.tools.doctor.live import config_of, entry, examined, worse_than_notes
from tests.tools.doctor.plants import (
    ANSWER,
    answered_well,
    events,
    relay,
    send_stream,
    vendor,
    whole,
)


async def by_a_rewritten_wire(vendors_port, **rewriting):
    """What is found if something rewrites what passes between client and proxy."""
    config = FullConfig.model_validate(config_of(entry("a", vendors_port)))
    async with opened(config, os.environ) as resources:
        endpoints = endpoints_to_examine(config, resources.endpoints)
        (endpoint,) = endpoints
        trial = Trial(resources.attempts.client, 5.0, 5.0, True, lambda: None, os.environ)
        await examine(endpoints, trial)
        asked = set(endpoint.findings)
        recorder = WireRecorder(trial.client, [endpoint.endpoint])
        async with (
            proxy_beside(config, {"m": endpoint.entry}, os.environ, recorder) as url,
            relay(int(url.rpartition(":")[2]), **rewriting) as between,
        ):
            names = {"m": endpoint}
            await compare_recorded(names, f"http://127.0.0.1:{between}", recorder, trial)
    return [(one.code, one.cause) for one in endpoint.findings if one not in asked]


@bounded()
async def test_one_byte_of_an_answer_that_changes_is_shown():
    async with vendor() as port:
        found = await by_a_rewritten_wire(
            port, rewrite=lambda piece: piece.replace(b'"usage"', b'"usagf"')
        )

    ((code, cause),) = found  # only the whole answer tells its usage
    place = json.dumps(ANSWER).index('"usage"') + 5
    assert code == "proxy_changes_answer"
    assert cause.startswith("a whole answer: ")
    assert f"the bodies differ from byte {place}: " in cause
    assert '"usage": {"prompt' in cause
    assert '"usagf": {"prompt' in cause


@bounded()
async def test_a_request_that_changes_on_its_way_is_shown():
    def rewritten(piece):
        changed = piece.replace(b"Count from", b"COUNT from")
        return changed.replace(b"accept: ", b"x-added: 1\r\naccept: ", 1)

    async with vendor() as port:
        found = await by_a_rewritten_wire(port, rewrite_request=rewritten)

    assert {code for code, _ in found} == {"proxy_changes_request"}
    assert len(found) == 2  # whole and streamed
    for _, cause in found:
        assert "header added: x-added; the bodies differ from byte " in cause
        assert "Count from" in cause
        assert "COUNT from" in cause


async def till_the_end(writer, request):
    """Answer as HTTP/1.0 does: without a length, until the connection ends."""
    kind = "text/event-stream" if request["stream"] else "application/json"
    body = b"".join(events()) if request["stream"] else json.dumps(ANSWER).encode()
    writer.write(f"HTTP/1.0 200 OK\r\nContent-Type: {kind}\r\n\r\n".encode() + body)
    await writer.drain()
    writer.close()


async def in_odd_lines(writer, request):
    """Answer with line ends, comments and spaces that no parser writes."""
    if not request["stream"]:
        body = b" \r\n" + json.dumps(ANSWER, indent=3, ensure_ascii=False).encode() + b"\n\n "
        writer.write(whole({"X-Odd": "a  b", "Via": "1.1 x"}, body=body))
        return
    parts = [part.replace(b"\n", b"\r\n") for part in events()]
    parts[2:2] = [b": ping\r\n\r\n", b"event: x\r\nid: 3\r\ndata: \xc3\xa9\r\n\r\n"]
    await send_stream(writer, parts, pause_s=0.001)
    writer.write(b"0\r\n\r\n")


async def compressed(writer, request):
    if request["stream"]:
        await answered_well(writer, request)
    else:
        body = gzip.compress(json.dumps(ANSWER).encode())
        writer.write(whole({"content-encoding": "gzip"}, body=body))


async def byte_for_byte(writer, request):
    """Write each byte by itself."""
    if request["stream"]:
        parts = [bytes([byte]) for byte in b"".join(events(2))]
        await send_stream(writer, parts, pause_s=0)
        writer.write(b"0\r\n\r\n")
        return
    for byte in whole():
        writer.write(bytes([byte]))
        await writer.drain()


@bounded()
@pytest.mark.parametrize("answer", [till_the_end, in_odd_lines, compressed, byte_for_byte])
async def test_odd_answers_are_the_same_on_both_sides(tmp_path, answer):
    async with vendor(answer) as first, vendor(answer) as second:
        config = config_of(entry("a", first), entry("b", second))
        report, _ = await examined(tmp_path, config)

    assert worse_than_notes(report) == []
    assert len(report["notes"]) == 1


@bounded()
async def test_an_endpoint_that_fails_a_moment_later_is_not_the_proxys_fault(tmp_path):
    asked = []

    async def wavering(writer, request):
        asked.append(request)
        if len(asked) > 2:
            writer.write(b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy")
        else:
            await answered_well(writer, request)

    async with vendor(wavering) as port, vendor() as second:
        report, said = await examined(tmp_path, config_of(entry("a", port), entry("b", second)))

    assert {(subject, code) for subject, code, _ in worse_than_notes(report)} == {
        ("gpt-4.1/a", "fails_at_times")
    }
    assert said.status == 1


JSON = [(b"content-type", b"application/json")]


@pytest.mark.parametrize(
    ("sent", "received", "difference"),
    [
        ((b"200", JSON, b"ab"), (b"502", JSON, b"ab"), "status 502 instead of 200"),
        ((b"200", [*JSON, (b"x-a", b"1")], b""), (b"200", JSON, b""), "header dropped: x-a"),
        ((b"200", JSON, b""), (b"200", [*JSON, (b"x-b", b"1")], b""), "header added: x-b"),
        ((b"200", JSON, b""), (b"200", [(b"content-type", b"x")], b""), "header changed"),
        (
            (b"200", JSON, b"abc"),
            (b"200", JSON, b"ab"),
            "`abc`, 2 received by the client",
        ),
        ((b"200", JSON, b"a\xff"), (b"200", JSON, b"a\n"), "from byte 1: 2 bytes"),
    ],
)
def test_what_differs_is_named(sent, received, difference):
    (told,) = answer_differences(WireMessage(*sent), WireMessage(*received))

    assert difference in told


def test_headers_that_the_proxy_holds_back_or_adds_are_no_difference():
    sent = [*JSON, (b"set-cookie", b"x"), (b"openai-organization", b"o"), (b"connection", b"close")]
    received = [*JSON, (b"x-llmproxy-endpoint", b"a"), (b"x-request-id", b"r")]

    told = answer_differences(WireMessage(b"200", sent, b"1"), WireMessage(b"200", received, b"1"))

    assert list(told) == []


def test_a_secret_that_differs_is_not_shown():
    direct = WireMessage(b"POST /a", [(b"authorization", b"Bearer secret-1")], b"")
    through = WireMessage(b"POST /b", [(b"authorization", b"Bearer secret-2")], b"")

    told = "; ".join(request_differences(direct, through, is_signed=False))

    assert told == "POST /b instead of POST /a; header changed: authorization"
    assert list(request_differences(direct, direct, is_signed=False)) == []


def test_what_a_signature_changes_is_no_difference():
    direct = WireMessage(b"POST /a", [(b"authorization", b"1"), (b"x-amz-date", b"1")], b"")
    through = WireMessage(b"POST /a", [(b"authorization", b"2"), (b"x-amz-date", b"2")], b"")

    assert list(request_differences(direct, through, is_signed=True)) == []
