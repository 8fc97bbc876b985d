"""Whatever a client sends, its request is translated or refused, and never an exception of ours."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.translation.hub import Destination
from llmproxy.batteries.translation.languages import LANGUAGES
from llmproxy.errors import ClientError

ENDPOINTS = [
    Destination(provider=provider, model=model, max_output_tokens=4096)
    for provider, model in (
        ("openai", "gpt-5.2"),
        ("openrouter", "x/y"),
        ("anthropic", "claude-opus-4-8"),
        ("anthropic", "claude-3-7-sonnet-20250219"),
    )
]
NAMES = st.sampled_from(
    (
        *(
            "role",
            "content",
            "type",
            "text",
            "tool_calls",
            "tool_call_id",
            "function",
            "name",
            "id",
        ),
        *("arguments", "input", "source", "data", "url", "image_url", "file", "tool_use_id"),
        *("thinking", "signature", "cache_control", "output", "call_id", "summary", "refusal"),
    )
)
WORDS = st.sampled_from(
    (
        *("user", "assistant", "system", "tool", "text", "image", "document", "tool_use", "base64"),
        *("tool_result", "thinking", "function", "custom", "message", "reasoning", "function_call"),
        *("function_call_output", "input_text", "image_url", "file", "", "x", "{}"),
    )
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)
TURN = st.fixed_dictionaries(
    {"role": WORDS}, optional={"type": WORDS, "content": VALUES, "tool_calls": VALUES, "id": WORDS}
)
TOP = (
    *("messages", "input", "system", "instructions", "tools", "tool_choice", "stop", "metadata"),
    *("response_format", "reasoning", "thinking", "output_config", "text", "stream_options"),
)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        **{name: VALUES | st.lists(TURN, max_size=3) for name in TOP},
        "messages": st.lists(TURN, max_size=4),
        "input": st.lists(TURN, max_size=4),
    },
)


@pytest.mark.parametrize("source", LANGUAGES)
@given(request=REQUESTS)
def test_no_request_is_too_strange(source, request):
    try:
        question = LANGUAGES[source].read_question(json.dumps(request).encode())
    except ClientError as error:
        assert error.status == 400
        return
    for name in LANGUAGES.keys() - {source}:
        for endpoint in ENDPOINTS:
            try:
                written = LANGUAGES[name].write_question(question, endpoint)
            except ClientError:
                continue
            assert isinstance(json.loads(written.body), dict)
