"""The edit of a body: what it changes, and that every other byte stays."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.parameters.edit import Edit
from llmproxy.errors import ClientError

BIG = 1 << 21


def encoded(values):
    return tuple((name, json.dumps(value).encode()) for name, value in values.items())


def edit(rename=None, drop=(), overrides=None, defaults=None, bound=None):
    renamed = tuple((rename or {}).items())
    return Edit(renamed, frozenset(drop), encoded(overrides or {}), encoded(defaults or {}), bound)


@pytest.mark.parametrize(
    ("change", "body", "result", "words"),
    [
        (
            edit({"max_tokens": "max_completion_tokens"}),
            b'{ "a": 1.0e5 ,\n "max_tokens" : 7, "z": [1 , 2] }',
            b'{ "a": 1.0e5 ,\n "max_completion_tokens" : 7, "z": [1 , 2] }',
            "renamed max_tokens to max_completion_tokens",
        ),
        (edit({"a": "b"}), b'{"a":1,"b":2}', b'{"b":2}', "dropped a beside b"),
        (
            edit({"a": "b", "b": "a"}),
            b'{"a":1,"b":2}',
            b'{"b":1,"a":2}',
            "renamed a to b, renamed b to a",
        ),
        (edit(drop=["a"]), b'{"a": 1, "b" : 2}', b'{ "b" : 2}', "dropped a"),
        (edit(drop=["b"]), b'{"a": 1, "b" : 2}', b'{"a": 1}', "dropped b"),
        (edit(drop=["a"]), b'{"a":1}', b"{}", "dropped a"),
        (edit(drop=["a"]), b'{"a":1,"b":"\xff","a":2}', b'{"b":"\xff"}', "dropped a"),
        (edit(drop=["a"]), b'{"x":{"a":1},"\\u0061":"}{,"}', b'{"x":{"a":1}}', "dropped a"),
        (edit(drop=["a"]), b'{"a":"\\ud83d","b":"\\ud83d\\""}', b'{"b":"\\ud83d\\""}', "dropped a"),
        (edit(drop=["a"]), b'{"\xff":[{}, 1],"a":1}', b'{"\xff":[{}, 1]}', "dropped a"),
        (edit(overrides={"a": [1]}), b'{"a" : 9 , "b":2}', b'{"a" : [1] , "b":2}', "set a"),
        (edit(overrides={"a": 1}), b'{"a":2,"b":3,"a":4}', b'{"a":1,"b":3,"a":1}', "set a"),
        (edit(overrides={"a": 1}), b'{"b":2}', b'{"b":2,"a":1}', "set a"),
        (edit(overrides={"a": 1}), b'{"a":1}', b'{"a":1}', ""),
        (edit(defaults={"a": 1}), b"\xef\xbb\xbf { } ", b'\xef\xbb\xbf {"a":1 } ', "set a"),
        (edit(defaults={"a": 1}), b'{"a":null}', b'{"a":null}', ""),
        (
            edit(bound=100),
            b'{"max_tokens": 101}',
            b'{"max_tokens": 100}',
            "lowered max_tokens to 100",
        ),
        (
            edit(bound=100),
            b'{"max_output_tokens":1e4}',
            b'{"max_output_tokens":100}',
            "lowered max_output_tokens to 100",
        ),
        (edit(bound=100), b'{"max_tokens":100}', b'{"max_tokens":100}', ""),
        (edit(bound=100), b'{"max_tokens":true,"n":1000}', b'{"max_tokens":true,"n":1000}', ""),
        (
            edit({"max_tokens": "max_completion_tokens"}, bound=100),
            b'{"max_tokens":500}',
            b'{"max_completion_tokens":100}',
            "renamed max_tokens to max_completion_tokens, lowered max_completion_tokens to 100",
        ),
        (edit(drop=["a"]), b"[1]", b"[1]", ""),
        (edit(drop=["a"]), b"", b"", ""),
    ],
)
def test_an_edit_changes_the_members_that_it_names(change, body, result, words):
    assert change(body) == (result, words)


def test_a_body_without_such_members_is_passed_on_as_it_is():
    body = b'{"b":1}'
    assert edit({"a": "c"}, ["d"])(body)[0] is body


def test_a_large_body_is_edited_by_the_length_of_its_values():
    text = b'{"messages":"' + b"x" * BIG + b'","a":1}'
    assert edit(drop=["a"])(text)[0] == text[: -len(b',"a":1}')] + b"}"


def test_a_large_body_with_a_duplicate_key_is_refused_because_it_cannot_be_edited():
    body = b'{"a":1,"messages":"' + b"x" * BIG + b'","a":1}'
    with pytest.raises(ClientError, match="Name each once"):
        edit(drop=["a"])(body)


def applied(change, members):
    """What an edit means, for a dict of Python values."""
    renames = dict(change.rename)
    taken = set(members) - set(renames)
    names = {}
    for old, new in renames.items():
        if old in members:
            names[old] = None if new in taken else new
            taken.add(new)
    result = {}
    for old, value in members.items():
        name = names.get(old, old)
        if name is None or name in change.drop:
            continue
        is_bound = re.fullmatch(r"max_(output_|completion_)?tokens", name) and type(value) is int
        if is_bound and change.max_output_tokens is not None:
            result[name] = min(value, change.max_output_tokens)
        else:
            result[name] = value
    for name, value in change.overrides:
        result[name] = json.loads(value)
    for name, value in change.defaults:
        result.setdefault(name, json.loads(value))
    return result


NAMES = st.sampled_from(["a", "b", "c", "max_tokens", "max_completion_tokens", 'é"\\', "", "\n"])
SPACES = st.text(" \t\n\r", max_size=2)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(exclude_categories=[]), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
MAPPINGS = st.dictionaries(NAMES, st.integers(0, 9) | st.text(max_size=2), max_size=2)


@st.composite
def edits(draw):
    renames = st.dictionaries(NAMES, NAMES, max_size=3)
    bound = st.none() | st.integers(1, 50)
    drop = st.lists(NAMES, max_size=2)
    return edit(draw(renames), draw(drop), draw(MAPPINGS), draw(MAPPINGS), draw(bound))


@st.composite
def objects(draw):
    """A JSON object as text: its members with their spacing, perhaps with duplicate keys."""
    members = draw(st.lists(st.tuples(NAMES, VALUES), max_size=6))
    texts = []
    for name, value in members:
        ascii_only = draw(st.booleans()) or "\\ud" in json.dumps(value)
        key, written = json.dumps(name), json.dumps(value, ensure_ascii=ascii_only)
        a, b, c, d = (draw(SPACES) for _ in range(4))
        texts.append((name, f"{a}{key}{b}:{c}{written}{d}".encode()))
    return texts


@given(edits(), objects())
def test_the_result_means_what_the_edit_means_for_python_values(change, members):
    body = b"{" + b",".join(text for _, text in members) + b"}"
    result, changes = change(body)
    assert json.loads(result) == applied(change, json.loads(body))
    assert bool(changes) == (result != body) or not changes


@given(edits(), objects())
def test_members_that_no_edit_names_stay_byte_for_byte_in_their_order(change, members):
    body = b"{" + b",".join(text for _, text in members) + b"}"
    touched = {name for pair in change.rename for name in pair} | set(change.drop)
    touched |= {name for name, _ in (*change.overrides, *change.defaults)}
    if change.max_output_tokens is not None:
        touched |= {"max_tokens", "max_completion_tokens"}
    result, _ = change(body)
    at = 1
    for name, text in members:
        if name not in touched:
            at = result.index(text, at) + len(text)


@given(objects(), st.integers(0, 3))
def test_walking_a_body_finds_what_measuring_it_finds(members, depth):
    from llmproxy.batteries.parameters.members import _measured, _walked
    from llmproxy.rules.body import OPENING

    body = b"{" + b",".join(text for _, text in members) + b"}"
    measured = _measured(body, OPENING.match(body))
    if measured and members:
        assert _walked(body, 1) == measured
