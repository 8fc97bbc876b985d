"""What each fault sends."""

import json

import pytest

from llmproxy.tools.simulator import VendorSettings, raw, serve
from llmproxy.tools.simulator.errors import CODES
from tests.support.run import bounded
from tests.tools.simulator.wires import (
    answered,
    chat_request,
    connected,
    everything,
    head_and_body,
    request,
)

BOTH = pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])


async def struck(fault, *, stream=False, path="/v1/chat/completions", **more):
    """Return the answer under a fault, and how it ends."""
    async with serve() as vendor:
        return await everything(vendor, chat_request(fault=fault, stream=stream, path=path, **more))


def events(body):
    """Return the data of each complete event in a (chunked) body."""
    return [part.partition(b"\n\n")[0] for part in body.split(b"data: ")[1:]]


@pytest.mark.parametrize("code", CODES)
@bounded()
async def test_every_error_code_comes_with_its_status_and_body(code):
    async with serve() as vendor:
        sent = chat_request(fault=f"status:{code}")
        status, headers, body = await answered(vendor, sent)
    assert status == CODES[code][0]
    if code == "overloaded_error":
        assert body == {"type": "error", "error": {"type": code, "message": "Overloaded"}}
    else:
        error = body["error"]
        assert error["code"] == code
        assert {"message", "type", "param", "code"} <= error.keys()
    temporary = code in ("rate_limit_exceeded", "slow_down")
    assert ("retry-after" in headers) is temporary
    assert headers["x-request-id"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 413, 422, 500, 503])
@bounded()
async def test_a_status_without_a_code_has_no_error_code(status):
    async with serve() as vendor:
        got, _, body = await answered(vendor, chat_request(fault=f"status:{status}"))
    assert (got, body["error"]["code"]) == (status, None)


@pytest.mark.parametrize("status", [502, 504])
@bounded()
async def test_gateways_answer_in_html(status):
    received, _ = await struck(f"status:{status}")
    got, headers, body = head_and_body(received)
    assert (got, headers["content-type"]) == (status, "text/html")
    assert body.startswith(b"<html>")


@bounded()
async def test_a_content_filter_has_its_innererror():
    async with serve() as vendor:
        _, _, body = await answered(
            vendor,
            chat_request(fault="status:400:content_filter", path="/openai/v1/chat/completions"),
        )
    inner = body["error"]["innererror"]
    assert inner["code"] == "ResponsibleAIPolicyViolation"
    assert inner["content_filter_result"]["violence"]["filtered"]


RETRY_AFTER = {
    "": ("1", None),
    ";retry-after=2": ("2", None),
    ";retry-after=none": (None, None),
    ";retry-after=Wed, 21 Oct 2099 07:28:00 GMT": ("Wed, 21 Oct 2099 07:28:00 GMT", None),
    ";retry-after-ms=1500": ("1", "1500"),
}


@pytest.mark.parametrize("setting", RETRY_AFTER)
@bounded()
async def test_retry_after_is_the_one_of_the_fault(setting):
    async with serve() as vendor:
        sent = chat_request(fault=f"status:429:rate_limit_exceeded{setting}")
        _, headers, _ = await answered(vendor, sent)
    assert (headers.get("retry-after"), headers.get("retry-after-ms")) == RETRY_AFTER[setting]


@bounded()
async def test_azures_429_has_retry_after_ms():
    async with serve() as vendor:
        path = "/openai/v1/chat/completions"
        sent = chat_request(fault="status:429:rate_limit_exceeded", path=path)
        _, headers, body = await answered(vendor, sent)
    assert (headers["retry-after-ms"], headers["retry-after"]) == ("1000", "1")
    assert body["error"]["code"] == "too_many_requests"


@BOTH
@bounded()
async def test_reset_before_and_close_before_send_nothing(stream):
    assert await struck("reset-before", stream=stream) == (b"", "reset")
    assert await struck("close-before", stream=stream) == (b"", "closed")
    assert await struck("stall-before", stream=stream) == (b"", "open")


ENDINGS = {"reset-mid": "reset", "close-mid": "closed", "stall-mid": "open"}


@pytest.mark.parametrize("kind", ENDINGS)
@bounded()
async def test_a_stream_is_broken_after_so_many_chunks(kind):
    received, ending = await struck(f"{kind}:4", stream=True)
    _, _, body = head_and_body(received)
    assert len(events(body)) == 4
    assert b"[DONE]" not in body
    assert not body.endswith(b"0\r\n\r\n")
    assert ending == ENDINGS[kind]


@pytest.mark.parametrize("kind", ENDINGS)
@bounded()
async def test_a_body_is_broken_after_so_many_bytes(kind):
    received, ending = await struck(f"{kind}:7")
    _, headers, body = head_and_body(received)
    assert len(body) == 7 < int(headers["content-length"])
    assert ending == ENDINGS[kind]


@BOTH
@bounded()
async def test_a_malformed_chunk_has_an_invalid_size(stream):
    received, ending = await struck("malformed-chunk", stream=stream)
    _, headers, body = head_and_body(received)
    assert headers["transfer-encoding"] == "chunked"
    assert body.endswith(b"\r\nzz\r\nthis is no chunk\r\n")
    assert ending == "closed"


@BOTH
@bounded()
async def test_bad_length_promises_more_than_it_sends(stream):
    received, ending = await struck("bad-length", stream=stream)
    _, headers, body = head_and_body(received)
    assert int(headers["content-length"]) == len(body) + 64
    assert ending == "closed"


@bounded()
async def test_a_malformed_status_is_invalid():
    received, ending = await struck("malformed-status")
    assert received.startswith(b"HTTP/1.1 2x0 ")
    assert ending == "closed"


@BOTH
@bounded()
async def test_a_trickle_is_the_same_answer_byte_by_byte(stream):
    async with serve(VendorSettings(seed=1)) as vendor:
        plain, _ = await everything(vendor, chat_request(stream=stream, limit=2))
        slow = chat_request(stream=stream, limit=2, fault="trickle")
        async with connected(vendor) as (reader, writer):
            writer.write(slow)
            pieces = []
            while sum(map(len, pieces)) < len(plain):
                pieces.append(await reader.read(65536))
    assert len(pieces) > 20
    body = head_and_body(b"".join(pieces))[2]
    assert len(body) == len(head_and_body(plain)[2])


@bounded()
async def test_an_early_error_is_the_only_event_of_its_stream():
    received, ending = await struck("early-error", stream=True)
    status, headers, body = head_and_body(received)
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    (only,) = events(body)
    assert json.loads(only)["error"]["type"] == "server_error"
    assert body.endswith(b"0\r\n\r\n")
    assert ending == "open"


@pytest.mark.parametrize(
    ("path", "preamble"), [("/v1/chat/completions", 1), ("/openai/v1/chat/completions", 2)]
)
@bounded()
async def test_an_error_after_the_role_comes_before_any_content(path, preamble):
    received, _ = await struck("error-after-role", stream=True, path=path)
    *before, last = map(json.loads, events(received))
    assert len(before) == preamble
    assert not any(
        choice["delta"].get("content") for chunk in before for choice in chunk["choices"]
    )
    assert "error" in last


@bounded()
async def test_an_error_may_come_in_the_middle():
    received, _ = await struck("error-after-role;after=6", stream=True)
    assert len(events(received)) == 7
    assert "error" in json.loads(events(received)[-1])


@bounded()
async def test_missing_done_omits_only_the_last_event():
    received, ending = await struck("missing-done", stream=True)
    assert b"[DONE]" not in received
    assert json.loads(events(received)[-1])["choices"][0]["finish_reason"] == "stop"
    assert received.endswith(b"0\r\n\r\n")
    assert ending == "open"


RESPONSES = {
    "failed-first": (["response.created", "response.failed"], "server_error"),
    "overloaded-event": (["response.created", "response.failed"], "server_is_overloaded"),
    "error-after-role": (["response.created", "error"], None),
}


@pytest.mark.parametrize("kind", RESPONSES)
@bounded()
async def test_a_streamed_response_fails_in_its_own_events(kind):
    async with serve() as vendor:
        body = {"model": "m", "input": "Hello", "stream": True}
        headers = [("x-simulator-fault", kind)]
        received, _ = await everything(vendor, request("/v1/responses", body, headers=headers))
    sent = [json.loads(event) for event in events(received)]
    expected, code = RESPONSES[kind]
    assert [event["type"] for event in sent] == expected
    assert [event["sequence_number"] for event in sent] == [0, 1]
    if code:
        assert sent[-1]["response"]["status"] == "failed"
        assert sent[-1]["response"]["error"]["code"] == code
        assert sent[-1]["response"]["id"] == sent[0]["response"]["id"]


@bounded()
async def test_an_overloaded_chat_sends_an_error_after_its_first_chunk():
    received, _ = await struck("overloaded-event", stream=True)
    role, error = map(json.loads, events(received))
    assert role["choices"][0]["delta"]["role"] == "assistant"
    assert error["error"]["code"] == "server_is_overloaded"


@bounded()
async def test_raw_bytes_are_sent_verbatim_at_their_splits():
    everything_else = bytes(range(256))
    async with serve() as vendor:
        vendor.faults.append(raw(b"HTTP/1.1 20", 0.05, everything_else, then="close"))
        async with connected(vendor) as (reader, writer):
            writer.write(chat_request())
            assert await reader.read(65536) == b"HTTP/1.1 20"
            assert await reader.read() == everything_else
        vendor.faults[:] = [raw(b"x", then="reset")]
        assert await everything(vendor, chat_request()) == (b"x", "reset")
