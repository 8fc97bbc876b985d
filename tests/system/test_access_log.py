"""The access log of a real process: one line per call."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.client import CHAT, STREAM, ask
from tests.support.process import running
from tests.support.run import bounded
from tests.support.vendor import (
    DONE,
    LAST_CHUNK,
    always,
    chat,
    chunk,
    delta,
    error_body,
    event,
    http,
    scripted,
    sse_head,
)
from tests.system.vendors import group_of

USAGE = {"prompt_tokens": 7, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 2}}
USAGE_EVENT = event({"id": "1", "object": "chat.completion.chunk", "choices": [], "usage": USAGE})
EACH = {
    "time",
    "id",
    "request",
    "group",
    "endpoint",
    "status",
    "attempts",
    "first_byte_ms",
    "total_ms",
    "overhead_ms",
    "client",
}
REFUSAL = http(error_body("invalid_api_key"), status=401)
TOKENS = {"input_tokens", "output_tokens", "cached_tokens"}


def answer(received, _number):
    if b'"stream": true' in received.body:
        yield sse_head() + chunk(delta("hello"))
        yield 0.1
        yield chunk(USAGE_EVENT) + chunk(DONE) + LAST_CHUNK
    else:
        yield 0.1
        yield http(chat("hello", usage=USAGE))


@pytest.mark.clock
@bounded()
async def test_each_call_has_one_line_with_its_endpoint_duration_and_tokens(tmp_path):
    async with scripted(always(REFUSAL)) as bad, scripted(answer) as fine:
        config = {"model_groups": [group_of([bad, fine], weights=(2, 1))]}
        async with running(tmp_path, config=config) as proxy:
            for body in (CHAT, STREAM):
                headers = [("x-request-id", f"mine-{body is STREAM}")]
                reply = await ask(proxy.port, body=body, headers=headers)
                assert reply.status == 200
            await ask(proxy.port, body={**CHAT, "model": "unknown"})
            first, second, third = await proxy.logged(3)

    for line in (first, second):
        assert line.keys() == EACH | TOKENS | {"cost_basis"}
        assert line["cost_basis"] == "unknown"  # the endpoint has no price
        assert line["request"] == "POST /v1/chat/completions"
        assert (line["group"], line["endpoint"], line["status"]) == ("gpt-4.1", "w1", 200)
        assert (line["input_tokens"], line["output_tokens"], line["cached_tokens"]) == (7, 4, 2)
        assert line["client"] == "127.0.0.1"
        assert 100 <= line["total_ms"] < 1000
        assert 0 < line["overhead_ms"] < 50
        age = datetime.now(UTC) - datetime.fromisoformat(line["time"])
        assert timedelta(0) <= age < timedelta(seconds=10)
    assert (first["id"], second["id"]) == ("mine-False", "mine-True")
    assert (first["attempts"], second["attempts"]) == (2, 1), "the refused key is left alone"
    assert first["first_byte_ms"] >= 100, "a whole answer begins when it is complete"
    assert second["first_byte_ms"] < 90 < second["total_ms"]
    assert third["status"] == 404
    assert third["error"] == "model_not_found"
    assert third["endpoint"] is None


@bounded()
async def test_the_text_format_is_one_readable_line_per_call(tmp_path):
    async with scripted(answer) as vendor:
        config = {
            "model_groups": [group_of([vendor], weights=[1])],
            "general_settings": {"log_format": "text"},
        }
        async with running(tmp_path, config=config) as proxy:
            await ask(proxy.port, body=CHAT)
            (line,) = await proxy.written(1)

    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3} 200 POST /v1/chat/completions gpt-4\.1 -> w1: 1\d\d ms, "
        r"first byte 1\d\d ms, overhead \d+\.\d\d ms, 7\+4 tokens",
        line,
    )


@bounded()
async def test_the_log_can_be_turned_off(tmp_path):
    async with scripted(answer) as vendor:
        config = {
            "model_groups": [group_of([vendor], weights=[1])],
            "general_settings": {"access_log": False, "drain_delay_s": 0},
        }
        async with running(tmp_path, config=config) as proxy:
            assert (await ask(proxy.port, body=CHAT)).status == 200
            proxy.process.terminate()
            assert await proxy.ended() == 0
            assert proxy.stdout == ""
