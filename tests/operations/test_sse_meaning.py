"""What events mean: what may be held back, what commits, what failed, what ends."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.operations import CHAT, MESSAGES, OPAQUE, RESPONSES, EventKind

DIALECTS = (CHAT, RESPONSES, MESSAGES, OPAQUE)
AZURE_FILTER = (
    b'data: {"choices":[],"created":0,"id":"","model":"","object":"",'
    b'"prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}]}\n\n'
)


def chat(*choices, **more):
    return b"data: " + json.dumps({"choices": choices, **more}).encode() + b"\n\n"


def typed(kind, **more):
    as_json = json.dumps({"type": kind, **more}).encode()
    return b"event: " + kind.encode() + b"\ndata: " + as_json + b"\n\n"


def role(**more):
    return {"index": 0, "delta": {"role": "assistant", **more}, "finish_reason": None}


NOT_YET = [
    (CHAT, b": keep-alive\n\n"),
    (CHAT, b"\n"),
    (CHAT, b"event: ping\n\n"),
    (CHAT, AZURE_FILTER),
    (CHAT, b"\xef\xbb\xbf" + AZURE_FILTER.replace(b"\n", b"\r\n")),
    (CHAT, chat(usage={"prompt_tokens": 3, "completion_tokens": 4})),
    (CHAT, b'data: {"choices": null}\n\n'),
    (CHAT, chat(role())),
    (CHAT, chat(role(content="", refusal=None))),
    (CHAT, chat(role(content=None, tool_calls=[], reasoning_content=""), usage=None)),
    (CHAT, chat(role(content=""), role(content=""))),
    (CHAT, chat(role(content=""), usage={"prompt_tokens": 3})),
    (CHAT, chat({"index": 0, "text": "", "finish_reason": None})),
    (RESPONSES, typed("response.created", response={"error": None, "usage": None})),
    (RESPONSES, typed("response.queued", response={})),
    (RESPONSES, typed("response.in_progress", response={})),
    (RESPONSES, typed("response.output_item.added", item={"type": "message", "content": []})),
    (
        RESPONSES,
        typed("response.output_item.added", item={"type": "reasoning", "encrypted_content": "g"}),
    ),
    (MESSAGES, typed("message_start", message={"content": []})),
    (MESSAGES, typed("ping")),
    (
        MESSAGES,
        typed("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    ),
    (
        MESSAGES,
        typed("content_block_start", content_block={"type": "thinking", "thinking": ""}),
    ),
]


@pytest.mark.parametrize(("dialect", "event"), NOT_YET)
def test_what_no_client_would_miss_is_preamble(dialect, event):
    assert dialect.classify(event) is EventKind.PREAMBLE


TOOL = {"index": 0, "id": "call_1", "function": {"name": "f", "arguments": ""}}

CONTENT = [
    (CHAT, chat(role(content="H"))),
    (CHAT, chat({"index": 0, "delta": {"content": " "}})),
    (CHAT, chat(role(content=""), role(content="x"))),
    (CHAT, chat(role(tool_calls=[TOOL]))),
    (CHAT, chat(role(reasoning_content="hm"))),
    (CHAT, chat(role(refusal="no"))),
    (CHAT, chat({"index": 0, "delta": {}, "finish_reason": "stop"})),
    (CHAT, chat({"index": 0, "delta": {"content": ""}, "logprobs": {"content": [1]}})),
    (CHAT, chat({"index": 0, "text": "x"})),
    (CHAT, chat({"index": 0})),
    (CHAT, b'data: {"choices": [5]}\n\n'),
    (CHAT, b'data: {"something": "else"}\n\n'),
    (CHAT, b"data: no json\n\n"),
    (CHAT, b"data: [1, 2]\n\n"),
    (CHAT, b"no field\n\n"),
    (RESPONSES, typed("response.output_item.added", item={})),
    (RESPONSES, typed("response.output_item.added", item={"type": "function_call", "name": "f"})),
    (
        RESPONSES,
        typed("response.output_item.added", item={"type": "reasoning", "summary": [{"text": "x"}]}),
    ),
    (RESPONSES, typed("response.output_text.delta", delta="x")),
    (RESPONSES, typed("response.new_kind")),
    (RESPONSES, b'data: {"type": 5}\n\n'),
    (MESSAGES, typed("content_block_delta", delta={"type": "text_delta", "text": "x"})),
    (
        MESSAGES,
        typed("content_block_start", content_block={"type": "tool_use", "name": "f", "input": {}}),
    ),
    (
        MESSAGES,
        typed("content_block_start", content_block={"type": "text", "text": "already"}),
    ),
    (MESSAGES, typed("content_block_start")),
    (MESSAGES, typed("content_block_start", content_block={"type": "tool_use"})),
    (MESSAGES, typed("message_delta", usage={"output_tokens": 1})),
    (OPAQUE, typed("speech.audio.delta", audio="UklGRg==")),
    (OPAQUE, b": a comment\n\n"),
    (OPAQUE, b"data: [DONE]\n\n"),
    (OPAQUE, AZURE_FILTER),
    (OPAQUE, b"\x00\xff"),
]


@pytest.mark.parametrize(("dialect", "event"), CONTENT)
def test_what_matters_or_is_not_understood_is_content(dialect, event):
    assert dialect.classify(event) is EventKind.CONTENT


ERRORS = [
    *((dialect, b'data: {"error": {"message": "x"}}\n\n') for dialect in DIALECTS),
    *((dialect, b'event: error\ndata: {"message": "x"}\n\n') for dialect in DIALECTS),
    (CHAT, b'data: {"error": "a text"}\n\n'),
    (CHAT, b'data: {"error": {"code": 502}, "choices": [{"delta": {"content": ""}}]}\n\n'),
    (CHAT, b'{"error": {"message": "bare JSON"}}\n\n'),
    (CHAT, b'data: {"object": "error", "message": "x", "code": 400}\n\n'),
    *((dialect, b'data: [{"error": {"code": 503}}]\n\n') for dialect in (CHAT, MESSAGES)),
    (CHAT, b'data: {"choices": [{"error": {"code": 502}, "delta": {}}]}\n\n'),
    *((dialect, b"<!DOCTYPE html><html></html>\n\n") for dialect in (CHAT, RESPONSES, MESSAGES)),
    (CHAT, b'data: {"error":\ndata: {"message": "two lines"}}\n\n'),
    (CHAT, b'data: {"error": {"message": "x"}, "choices": "strange", "code": 1.5}\n\n'),
    (RESPONSES, typed("response.failed", response={"error": {"code": "server_error"}})),
    (RESPONSES, b'data: {"type": "response.failed", "response": {}}\n\n'),
    (RESPONSES, b'data: {"type": "error", "code": "server_error", "message": "x"}\n\n'),
    (MESSAGES, typed("error", error={"type": "overloaded_error", "message": "x"})),
]


@pytest.mark.parametrize(("dialect", "event"), ERRORS)
def test_what_says_that_it_failed_is_an_error(dialect, event):
    assert dialect.classify(event) is EventKind.ERROR


ENDS = [
    (CHAT, b"data: [DONE]\n\n"),
    (CHAT, b"data:[DONE]\r\n\r\n"),
    (CHAT, b"\ndata: [DONE]"),
    (RESPONSES, typed("response.completed", response={})),
    (RESPONSES, typed("response.incomplete", response={})),
    (RESPONSES, b"data: [DONE]\n\n"),
    (MESSAGES, typed("message_stop")),
]


@pytest.mark.parametrize(("dialect", "event"), ENDS)
def test_what_says_that_it_is_complete_is_the_end(dialect, event):
    assert dialect.classify(event) is EventKind.END


@pytest.mark.parametrize("empty", ["null", "false", '""', "{}", "[]", "0"])
def test_an_empty_error_is_none(empty):
    event = b'data: {"error": %s, "choices": [{"delta": {"content": "x"}}]}\n\n' % empty.encode()
    assert CHAT.classify(event) is EventKind.CONTENT


@given(st.binary(max_size=60) | st.text('data:{}[]" \nerrochis,', max_size=60).map(str.encode))
def test_any_bytes_mean_something_and_never_crash(event):
    for dialect in DIALECTS:
        assert isinstance(dialect.classify(event), EventKind)
