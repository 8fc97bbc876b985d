"""A whole answer holds an answer, or it says in one of many ways that there is none."""

import json
from codecs import BOM_UTF8

import pytest

from llmproxy.batteries.answer_checks import read_answer
from llmproxy.operations import OPERATIONS
from llmproxy.operations.answers import AnswerKind, begins_as_events, begins_as_json, take_as_answer
from llmproxy.operations.usage import Usage, usage_of

MESSAGE = {"index": 0, "message": {"role": "assistant", "content": None}, "finish_reason": "stop"}


def kind(path: str, body: object) -> str:
    as_bytes = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_answer(as_bytes, OPERATIONS[path].answer)[0].value


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat/completions", {"choices": [MESSAGE]}),
        ("chat/completions", {"choices": [MESSAGE], "error": None}),
        ("chat/completions", {"choices": [MESSAGE], "error": {}}),
        ("chat/completions", {"choices": "not understood"}),
        ("chat/completions", {"choices": [{"index": 0, "finish_reason": "content_filter"}]}),
        ("chat/completions", {"choices": [{"index": 0, "delta": {"content": "x"}}]}),
        ("completions", {"choices": [{"text": "", "finish_reason": "length"}]}),
        ("responses", {"status": "completed", "error": None, "output": [{"type": "message"}]}),
        ("responses", {"status": "queued", "output": []}),
        ("responses", {"status": "incomplete", "output": []}),
        ("responses/compact", {"object": "response.compaction", "output": []}),
        ("responses/input_tokens", {"object": "response.input_tokens", "input_tokens": 0}),
        ("responses", {"choices": [MESSAGE]}),
        ("messages", {"type": "message", "content": []}),
        ("messages/count_tokens", {"input_tokens": 3}),
        ("embeddings", {"data": [{"embedding": [0.1]}]}),
        ("embeddings", [[0.1, 0.2]]),
        ("moderations", {"results": [{"flagged": False}]}),
        ("rerank", {}),
        ("rerank", b"some text"),
    ],
)
def test_an_answer_is_recognised_however_little_it_says(path, body):
    assert kind(path, body) == "answer"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat/completions", {"choices": []}),
        ("chat/completions", b'{"choices": [ ]}'),
        ("chat/completions", {"choices": None}),
        ("chat/completions", {"choices": [None]}),
        ("chat/completions", {"choices": [{}]}),
        ("chat/completions", {"choices": [{"index": 0, "message": None}]}),
        ("chat/completions", {"choices": [{"message": None, "finish_reason": "stop"}]}),
        ("chat/completions", {}),
        ("chat/completions", {"detail": "Internal Server Error"}),
        ("completions", {"choices": []}),
        ("responses", {"status": "completed", "output": []}),
        ("responses", {"id": "resp_1"}),
        ("messages", {"type": "message", "content": None}),
        ("messages", {"type": "message"}),
        ("embeddings", {"data": []}),
        ("embeddings", {"data": None}),
        ("embeddings", []),
        ("moderations", {"results": []}),
    ],
)
def test_a_document_without_an_answer_in_it_is_empty(path, body):
    assert kind(path, body) == "empty"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat/completions", {"error": {"message": "x", "code": 502}}),
        ("chat/completions", {"error": "a text"}),
        ("chat/completions", {"code": "busy", "error": "No capacity left."}),
        ("chat/completions", {"object": "error", "message": "x", "code": 400}),
        ("chat/completions", [{"error": {"code": 400, "status": "INVALID_ARGUMENT"}}]),
        ("chat/completions", {"choices": [{"error": {"code": 502, "message": "x"}}]}),
        ("chat/completions", {"choices": [{**MESSAGE, "finish_reason": "error"}]}),
        ("responses", {"status": "failed", "output": [], "error": {"code": "server_error"}}),
        ("responses", {"status": "failed", "output": []}),
        ("messages", {"type": "error", "error": {"type": "overloaded_error"}}),
        ("messages", {"type": "error"}),
        ("embeddings", {"error": {"message": "x"}}),
        ("rerank", {"error": {"message": "x"}}),
    ],
)
def test_what_says_that_it_failed_is_an_error(path, body):
    assert kind(path, body) == "error"


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"\n\n\n", b"<html></html>", b"Bad gateway", b'{"choices": [{"me', b"\x1f\x8b"],
)
def test_what_is_not_the_promised_json_is_unreadable(body):
    assert kind("chat/completions", body) == AnswerKind.UNREADABLE


@pytest.mark.parametrize(
    "start", [b"data: {", b"event: x", b": comment", b"\n\nid: 1", b"retry: 9"]
)
def test_events_are_recognised_without_their_content_type(start):
    assert begins_as_events(start)
    assert not begins_as_events(b'{"data: "')


WHOLE = json.dumps(
    {"id": "x", "choices": [{"index": 0, **MESSAGE}], "usage": {"prompt_tokens": 3}}
).encode()


@pytest.mark.parametrize("start", [BOM_UTF8, BOM_UTF8 + b"\n", b"\n"])
def test_the_mark_of_utf_8_and_blanks_before_an_answer_change_nothing(start):
    assert read_answer(start + WHOLE, "choices") == read_answer(WHOLE, "choices")
    assert begins_as_json(start + WHOLE)


USED = {"input_tokens": 5, "output_tokens": 7}
CUT_IN_AN_EMOJI = "\ud83d"  # escaped in JSON, which every client reads


@pytest.mark.parametrize(
    "value", [CUT_IN_AN_EMOJI, "\\ud83d" + CUT_IN_AN_EMOJI, float("nan"), -1e999]
)
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat/completions", {"choices": [{"message": {"content": "VALUE"}}]}),
        ("chat/completions", {"id": "VALUE", "choices": [{"message": {}, "logprobs": ["VALUE"]}]}),
        ("messages", {"type": "message", "content": [{"type": "text", "text": "VALUE"}]}),
        ("embeddings", {"data": [{"embedding": [0.5, "VALUE"]}]}),
    ],
)
def test_an_answer_that_clients_read_is_one_although_its_json_is_not_strict(path, body, value):
    written = json.dumps({**body, "usage": USED}).replace('"VALUE"', json.dumps(value))
    assert read_answer(written.encode(), OPERATIONS[path].answer) == ("answer", Usage(5, 7))
    assert kind(path, written[:-1].encode()) == "unreadable"


def test_a_number_of_tokens_that_is_none_is_unknown():
    body = (
        b'{"choices": [{"message": {}}], "usage": {"prompt_tokens": NaN, "completion_tokens": 1}}'
    )
    assert read_answer(body, "choices") == ("answer", None)


def test_an_error_with_a_lone_surrogate_is_an_error():
    assert kind("chat/completions", {"error": {"message": CUT_IN_AN_EMOJI}}) == "error"


def test_an_answer_that_is_nested_too_deeply_to_be_read_is_no_failure():
    nested = b'"x": ' + b"[" * 5000 + b"]" * 5000
    assert kind("chat/completions", b"{%b, %b" % (nested, WHOLE[1:])) == "answer"


@pytest.mark.parametrize("cut", range(1, len(WHOLE)))
def test_no_cut_is_taken_for_an_answer(cut):
    assert kind("chat/completions", WHOLE[:-cut]) == "unreadable"


@pytest.mark.parametrize("text", ["{", "}", "[", ']"', '"error": {}', '"failed"', "}}}", "\\"])
def test_what_the_text_of_an_answer_says_changes_nothing(text):
    message = {"role": "assistant", "content": text}
    answer = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    assert kind("chat/completions", answer) == "answer"


@pytest.mark.parametrize(
    "more", [{"error": {"message": "x"}}, {"error": "x"}, {"object": "error"}, {"type": "error"}]
)
def test_an_error_beside_choices_is_seen(more):
    assert kind("chat/completions", {"choices": [MESSAGE], **more}) == "error"


@pytest.mark.parametrize("path", ["chat/completions", "responses", "embeddings", "rerank"])
@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 2}},
        {"input_tokens": 3, "output_tokens": 4, "cache_read_input_tokens": 5},
        {"prompt_tokens": 3},
        {"prompt_tokens": -3, "completion_tokens": 4},
        {"prompt_tokens": "many"},
        {"total_tokens": 9},
        "none",
        None,
    ],
)
def test_an_answer_is_read_once_for_what_it_is_and_for_its_usage(path, usage):
    answer = {"choices": [MESSAGE], "output": [{}], "data": [{}], "usage": usage}
    body = json.dumps(answer).encode()

    assert read_answer(body, OPERATIONS[path].answer) == (AnswerKind.ANSWER, usage_of(body))


def test_the_usage_of_an_answer_that_failed_is_not_reported():
    body = b'{"error": {"message": "x"}, "usage": {"prompt_tokens": 3}}'

    assert read_answer(body, "choices") == (AnswerKind.ERROR, None)


def test_without_the_checks_every_whole_answer_is_one():
    failed = b'{"error": {"message": "x"}, "usage": {"prompt_tokens": 3}}'

    assert take_as_answer(failed, "choices") == (AnswerKind.ANSWER, usage_of(failed))
