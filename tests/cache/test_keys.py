"""Which calls have the same cache key."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.cache.keys import cache_key_of

CHAT = {
    "model": "gpt-4.1",
    "temperature": 0,
    "seed": 7,
    "max_completion_tokens": 64,
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "strict": True}},
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Wie heißt du?"}]},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "logit_bias": {"50256": -100},
    "stop": ["\n", "END"],
}
RESPONSE = {
    "model": "gpt-4.1",
    "input": [{"role": "user", "content": "hello"}],
    "instructions": "Be kind.",
    "reasoning": {"effort": "low"},
    "store": False,
    "include": ["reasoning.encrypted_content"],
}
EMBEDDING = {
    "model": "e",
    "input": ["a", [1, 2, 3]],
    "dimensions": 256,
    "encoding_format": "base64",
}
BODIES = [("chat/completions", CHAT), ("responses", RESPONSE), ("embeddings", EMBEDDING)]


def key_of(body, operation="chat/completions", **more):
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    options = {"model": "gpt-4.1", "query": b"", "scope": ("g", ""), "random": True, **more}
    return cache_key_of(sent, operation=operation, **options)


def key(body, operation="chat/completions", **more):
    return key_of(body, operation, **more).digest


def mutations(value):
    """Yield every value that differs from this one in one place."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield {other: it for other, it in value.items() if other != name}
            yield {f"{other}_" if other == name else other: it for other, it in value.items()}
            for changed in mutations(member):
                yield value | {name: changed}
        yield value | {"something_new": None}
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield value[:at] + value[at + 1 :]
            for changed in mutations(item):
                yield [*value[:at], changed, *value[at + 1 :]]
        if value[::-1] != value:
            yield value[::-1]
        yield [*value, None]
    else:
        yield None if value is not None else 0
        yield str(value) + "x"
        if isinstance(value, bool):
            yield not value
            yield int(value)
        elif isinstance(value, int):
            yield value + 1
            yield str(value)
            yield value + 0.5


# Written out by hand: these lists must not come from the code that they check.
IGNORED = (
    *("model", "stream", "stream_options"),
    *("user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"),
)
COUNTED = {
    "chat/completions": (
        *("messages", "tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"),
        *("response_format", "seed", "temperature", "top_p", "n", "stop", "logit_bias"),
        *("max_tokens", "max_completion_tokens", "presence_penalty", "frequency_penalty"),
        *("logprobs", "top_logprobs", "modalities", "audio", "prediction", "verbosity"),
        *("reasoning_effort", "service_tier", "web_search_options", "store"),
        # of compatible vendors
        *("top_k", "min_p", "repetition_penalty", "thinking", "reasoning", "data_sources"),
        *("chat_template_kwargs", "guided_json", "safe_prompt", "random_seed", "search_parameters"),
    ),
    "completions": (
        *("prompt", "suffix", "echo", "best_of", "seed", "temperature", "top_p", "n", "stop"),
        *("max_tokens", "logprobs", "logit_bias", "presence_penalty", "frequency_penalty"),
    ),
    "responses": (
        *("input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "max_tool_calls"),
        *("text", "reasoning", "temperature", "top_p", "top_logprobs", "max_output_tokens"),
        *("include", "truncation", "service_tier", "prompt", "previous_response_id"),
        *("conversation", "background", "context_management", "store"),
    ),
    "embeddings": ("input", "dimensions", "encoding_format", "input_type", "truncate"),
    "moderations": ("input",),
    "rerank": ("query", "documents", "top_n", "return_documents", "max_tokens_per_doc"),
}


@pytest.mark.parametrize(("operation", "body"), BODIES, ids=[name for name, _ in BODIES])
def test_any_change_to_a_body_changes_the_key(operation, body):
    meaningful = {name: value for name, value in body.items() if name not in IGNORED}
    bodies = [meaningful, *mutations(meaningful)]
    if operation != "responses":  # `store: false` is the default there
        bodies = [body for body in bodies if body.get("store") is not False]
    assert len(bodies) > 20
    assert len({key(body, operation) for body in bodies}) == len(bodies)


@pytest.mark.parametrize("operation", COUNTED)
@pytest.mark.parametrize("name", IGNORED)
def test_fields_that_the_model_never_sees_do_not_change_the_key(name, operation):
    assert key({"a": 1, name: "anything"}, operation) == key({"a": 1}, operation)


@pytest.mark.parametrize(
    ("operation", "name"),
    [(operation, name) for operation, names in COUNTED.items() for name in names],
)
def test_every_other_field_changes_the_key(operation, name):
    values = [{}, {name: None}, {name: 1}, {name: "text"}, {name: [1]}, {name: {"a": 1}}]
    if name == "store" and operation != "responses":
        values = [{}, {name: True}]
    assert len({key({"a": 1, **value}, operation) for value in values}) == len(values)


def test_the_key_of_a_chat_ignores_exactly_the_fields_listed_here():
    names = {*IGNORED, *(name for names in COUNTED.values() for name in names), "tomorrow"}
    ignored = {name for name in names if key({name: "x"}) == key({})}
    assert ignored == set(IGNORED)


def test_store_false_is_the_same_as_no_store_in_a_chat():
    assert key(CHAT | {"store": False}) == key(CHAT) != key(CHAT | {"store": True})


def test_no_store_is_not_the_same_as_store_false_in_a_response():
    unsaid = {name: value for name, value in RESPONSE.items() if name != "store"}
    assert key(RESPONSE, "responses") != key(unsaid, "responses")


@pytest.mark.parametrize(
    "other",
    [
        {"operation": "completions"},
        {"model": "gpt-5"},
        {"model": None},
        {"query": b"api-version=preview"},
        {"scope": ("other", "")},
        {"scope": ("g", "alice")},
        {"scope": ("g",)},
    ],
)
def test_operation_model_query_and_scope_change_the_key(other):
    assert key(CHAT, **other) != key(CHAT)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a":1,"b":[2]}', b' { "b" : [ 2 ],\n"a":1 } '),
        (b'{"a":1.0}', b'{"a":1}'),
        (b'{"a":1e2}', b'{"a":100.0}'),
        (b'{"a":0.10}', b'{"a":1e-1}'),
        (b'{"a":-0.0}', b'{"a":0}'),
        ('{"a":"é\N{SNOWMAN}"}'.encode(), b'{"a":"\\u00e9\\u2603"}'),
        (b'{"a":"/"}', b'{"a":"\\/"}'),
        (b'{"a":1,"a":2}', b'{"a":2}'),
    ],
)
def test_the_notation_of_a_value_does_not_change_the_key(one, other):
    assert key(one) == key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a":1}', b'{"a":"1"}'),
        (b'{"a":1}', b'{"a":true}'),
        (b'{"a":0}', b'{"a":false}'),
        (b'{"a":null}', b"{}"),
        (b'{"a":[]}', b'{"a":{}}'),
        (b'{"a":9007199254740993}', b'{"a":9007199254740992}'),
        (b'{"a":12345678901234567890123}', b'{"a":12345678901234567890124}'),
        (b'{"a":0.1}', b'{"a":0.10000000000000001}'),
        (b'{"a":"e\xcc\x81"}', b'{"a":"\xc3\xa9"}'),
    ],
)
def test_values_that_differ_have_different_keys(one, other):
    first, second = key_of(one), key_of(other)
    assert first != second


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1]",
        b'"text"',
        b'{"a": NaN}',
        b'{"a": 1e400}',
        b'{"a": 0.123456789012345678}',
        b'{"a": "\\ud83d"}',
        b'{"a": "\xff"}',
        b"[" * 5000,
        b'{"a": "' + b"x" * 1024 * 1024 + b'"}',
    ],
)
def test_a_body_that_cannot_be_compared_exactly_has_no_key(body):
    assert key_of(body) is None


@pytest.mark.parametrize("operation", ["audio/speech", "images/generations", "files", "threads"])
def test_other_operations_have_no_key(operation):
    assert key_of(CHAT, operation) is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(VALUES, VALUES)
def test_keys_are_equal_exactly_when_the_values_are(one, other):
    def canonical(value):  # in Python True is 1
        return json.dumps(value, sort_keys=True)

    same = key({"x": one}) == key({"x": other})
    assert same == (canonical(one) == canonical(other))


@pytest.mark.parametrize(
    ("body", "deterministic"),
    [
        ({"temperature": 0}, True),
        ({"temperature": 0.0, "seed": None}, True),
        ({"seed": 0}, True),
        ({"seed": 42, "temperature": 1}, True),
        ({}, False),
        ({"temperature": 0.1}, False),
        ({"temperature": None}, False),
        ({"temperature": False}, False),
        ({"temperature": "0"}, False),
        ({"seed": True}, False),
        ({"temperature": 0, "tools": [{"type": "function"}]}, True),
        ({"temperature": 0, "tools": [{"type": "web_search"}]}, False),
        ({"temperature": 0, "tools": [{"type": "function"}, {"type": "mcp"}]}, False),
        ({"temperature": 0, "tools": "all"}, False),
        ({"temperature": 0, "web_search_options": {}}, False),
    ],
)
def test_a_chat_is_deterministic_by_its_fields_and_tools(body, deterministic):
    assert (key_of(body, random=False) is not None) is deterministic
    assert key_of(body, random=True) is not None


@pytest.mark.parametrize("operation", ["embeddings", "moderations", "rerank"])
def test_embeddings_moderations_and_rerank_are_always_deterministic(operation):
    assert key_of({"input": "x"}, operation, random=False) is not None
