"""A glance at a call's body: it never misses what a thorough search finds, and costs little."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.owners.glance import MAX_UNDERSCORES, may_name_something
from llmproxy.batteries.owners.ids import (
    files_named_in,
    newest_items_in,
    newest_reasoning_in,
    searchable,
    state_named_in,
    top_of,
)
from llmproxy.operations.dialects import CHAT, MESSAGES, RESPONSES

DIALECTS = pytest.mark.parametrize("dialect", [CHAT, MESSAGES, RESPONSES], ids=lambda it: it.name)
SECRET = "EqQBCgIYAhIM" * 3
KEYS = [
    *("id", "file_id", "input_file_id", "file_ids", "vector_store_ids", "container", "store"),
    *("container_id", "conversation", "previous_response_id", "encrypted_content", "signature"),
    *("thought_signature", "data", "type", "text", "metadata", "a_b", "identity", "call_id"),
]
VALUES = ["file-12345", "rs_12345", SECRET, "redacted_thinking", '"file_id": "file-1"', "x", False]


def written(value, draw):
    """Return JSON with any spaces, with escapes that nobody needs and with repeated keys."""
    if isinstance(value, str):
        inner = json.dumps(value)[1:-1]
        if draw(st.integers(0, 5)) == 0 and value.isalnum():
            at = draw(st.integers(0, len(value) - 1))
            inner = f"{value[:at]}\\u{ord(value[at]):04x}{value[at + 1 :]}"
        return f'"{inner}"'
    space = draw(st.sampled_from(["", " ", "\n  "]))
    if isinstance(value, list):
        return f"[{space}" + f",{space}".join(written(one, draw) for one in value) + "]"
    if isinstance(value, tuple):  # an object, as pairs
        pairs = (f"{written(k, draw)}{space}:{space}{written(v, draw)}" for k, v in value)
        return "{" + f",{space}".join(pairs) + "}"
    return json.dumps(value)


members = st.recursive(
    st.sampled_from(VALUES),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(st.tuples(st.sampled_from(KEYS), inner), max_size=4).map(tuple)
    ),
    max_leaves=12,
)
objects = st.lists(st.tuples(st.sampled_from(KEYS), members), max_size=5).map(tuple)


def says_something(text, dialect):
    """Whether a thorough search finds something in a body."""
    body = searchable(text)
    top = top_of(body)
    found = [*top.named, *(files_named_in(body) if dialect is CHAT else state_named_in(body))]
    if dialect is RESPONSES:
        found += newest_items_in(body)
    if dialect is not CHAT:
        found += newest_reasoning_in(body, signed=dialect is MESSAGES)
    return bool(found) or top.stores(usually=True) == top.stores(usually=False)


@DIALECTS
@given(st.data(), st.booleans())
def test_a_glance_sees_all_that_a_thorough_search_finds(dialect, data, underscores):
    text = written(data.draw(objects), data.draw)
    if underscores:
        text = f'{{"u": "{"_" * MAX_UNDERSCORES}", "v": {text}}}'
    body = text.encode()
    assert may_name_something(body, dialect) or not says_something(body, dialect)


@DIALECTS
@pytest.mark.parametrize("key", KEYS)
def test_a_glance_sees_each_key_that_stands_alone(dialect, key):
    for value in (*VALUES, ["file-12345"], {"id": "cntr_12345"}):
        for here in ({key: value}, {"x": [{"type": "redacted_thinking", key: value}]}):
            body = json.dumps(here).encode()
            assert may_name_something(body, dialect) or not says_something(body, dialect)


@DIALECTS
@pytest.mark.parametrize(
    "body",
    [
        rb'{"input": [{"\u0066ile_id": "file-12345"}]}',
        rb'{"input": [{"file_i\u0064": "file-12345"}]}',
        rb'{"file\u005Fid": "file-12345", "file_id": null}',
        b'{"input": [{"file_id"\n :"file-12345"}]}',
    ],
)
def test_a_key_cannot_be_hidden_from_a_glance(dialect, body):
    assert may_name_something(body, dialect)


class CountedBytes(bytes):
    """Bytes that count how many of them are searched at most."""

    seen = 0

    def find(self, word, start=0, end=None):
        at = super().find(word, start, len(self) if end is None else end)
        self.seen += (len(self) if at < 0 else at + 1) - start
        return at

    def rfind(self, word):
        at = super().rfind(word)
        self.seen += len(self) - max(at, 0)
        return at


PROSE = 'He said: "Store the data in a container; its id is file-12345."\n'
CODE = 'def file_ids(file_id: str) -> dict: return {"file_id": file_id, "a_b": __name__}\n'
PARTS = {CHAT: "text", MESSAGES: "text", RESPONSES: "input_text"}


@DIALECTS
@pytest.mark.parametrize(("text", "times"), [(PROSE, 8), (CODE, 12)], ids=["prose", "code"])
def test_a_long_plain_body_is_searched_few_times_and_nothing_is_parsed(dialect, text, times):
    part = {"type": PARTS[dialect], "text": text * 10}
    key = "input" if dialect is RESPONSES else "messages"
    body = CountedBytes(
        json.dumps({"model": "m", key: [{"role": "user", "content": [part]}] * 100}).encode()
    )
    assert not may_name_something(body, dialect)
    assert body.seen <= times * len(body)
