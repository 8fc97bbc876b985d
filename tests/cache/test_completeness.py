"""Which answers are complete, so that they may be cached."""

import json

import pytest

from llmproxy.batteries.cache.representations import is_complete


@pytest.mark.parametrize(
    ("operation", "body", "whole"),
    [
        ("chat/completions", {"choices": [{"finish_reason": "stop"}]}, True),
        ("chat/completions", {"choices": [{"finish_reason": "tool_calls"}]}, True),
        ("chat/completions", {"choices": [{"finish_reason": "length"}]}, True),
        ("chat/completions", {"choices": [{"finish_reason": "content_filter"}]}, False),
        ("chat/completions", {"choices": [{"finish_reason": None}]}, False),
        (
            "completions",
            {"choices": [{"finish_reason": "stop"}, {"finish_reason": None}]},
            False,
        ),
        ("chat/completions", {"choices": []}, False),
        ("chat/completions", {}, False),
        ("chat/completions", {"error": {"message": "m"}}, False),
        ("responses", {"status": "completed", "error": None}, True),
        ("responses", {"status": "incomplete"}, False),
        ("responses", {"status": "failed", "error": {"code": "c"}}, False),
        ("responses", {}, False),
        ("embeddings", {"data": []}, True),
        ("embeddings", {"error": {"message": "m"}}, False),
    ],
)
def test_complete_answers_are_recognised(operation, body, whole):
    assert is_complete(json.dumps(body).encode(), operation) is whole


@pytest.mark.parametrize("body", [b"", b"[]", b'{"choices": 5}', b"<html>", b"{", b"[" * 5000])
def test_anything_else_is_not_a_complete_answer(body):
    assert not is_complete(body, "chat/completions")
