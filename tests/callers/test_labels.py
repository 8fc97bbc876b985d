"""Whom a call is for, and its tags."""

import json

import pytest

from llmproxy.batteries.callers import LabelReader
from llmproxy.batteries.settings import FullSettings
from llmproxy.record import RequestSummary
from llmproxy.rules.body import peek

CHAT = {"model": "m", "messages": [{"role": "user", "content": 'the "user": me'}]}


def labels(body=None, headers=None, *, reader=None, tags=(), caller=None):
    summary = RequestSummary(tags=tags, caller=caller)
    found = peek(json.dumps({**CHAT, **(body or {})}).encode())
    (reader or LabelReader()).read(summary, headers or {}, found.labels)
    return summary.end_user, summary.tags


@pytest.mark.parametrize(
    ("body", "user"),
    [
        ({}, None),
        ({"user": "ada"}, "ada"),
        ({"safety_identifier": "hash-of-ada", "user": "ada"}, "hash-of-ada"),
        ({"metadata": {"user_id": "ada"}}, "ada"),
        ({"metadata": {"user": "ada", "other": [1, {"x": 2}]}}, "ada"),
        ({"user": " ada "}, "ada"),
        ({"user": "a" * 500}, "a" * 128),
        ({"user": 5}, None),
        ({"user": {"name": "ada"}}, None),
        ({"user": ""}, None),
        ({"user": None, "metadata": None}, None),
        ({"user": "a\u202eb"}, None),
        ({"metadata": "ada"}, None),
    ],
)
def test_the_end_user_is_named_in_the_body_as_vendors_define_it(body, user):
    assert labels(body)[0] == user


@pytest.mark.parametrize(
    ("metadata", "tags"),
    [
        ({"tags": "eu, nightly"}, ("eu", "nightly")),
        ({"tags": ["eu", "nightly", "eu", 5, ""]}, ("eu", "nightly")),
        ({"tags": {"eu": 1}}, ()),
        ({"tags": [f"t{number}" for number in range(30)]}, tuple(f"t{n}" for n in range(10))),
    ],
)
def test_tags_are_named_in_the_metadata(metadata, tags):
    assert labels({"metadata": metadata})[1] == tags


def test_headers_come_first_and_tags_add_up():
    headers = {b"x-llmproxy-user": b"ada", b"x-llmproxy-tags": b"eu,nightly"}
    body = {"user": "bob", "metadata": {"tags": "batch"}}
    assert labels(body, headers, tags=("of-key",)) == ("ada", ("of-key", "eu", "nightly", "batch"))


def test_a_bounded_number_of_users_and_tags_a_day_is_told_apart():
    reader = LabelReader(users=2, tags=2)
    for name in ("a", "b"):
        assert labels({"user": name}, reader=reader)[0] == name
    assert labels({"user": "c"}, reader=reader)[0] == "(other)"
    assert labels({"user": "a"}, reader=reader)[0] == "a"
    assert labels({"metadata": {"tags": "x,y,z"}}, reader=reader)[1] == ("x", "y", "(other)")


def test_one_caller_does_not_use_up_the_names_of_the_others():
    reader = LabelReader(tags=20)
    for start in range(0, 100, 5):
        flood = {"metadata": {"tags": [f"t{number}" for number in range(start, start + 5)]}}
        labels(flood, reader=reader, caller="app")
    assert labels({"metadata": {"tags": "own"}}, reader=reader, caller="app")[1] == ("(other)",)
    assert labels({"metadata": {"tags": "own"}}, reader=reader, caller="other")[1] == ("own",)


def test_of_the_tags_of_a_call_only_those_that_it_may_have_count_for_the_day():
    reader = LabelReader(tags=40)
    labels({"metadata": {"tags": [f"t{number}" for number in range(10_000)]}}, reader=reader)
    assert labels({"metadata": {"tags": "new"}}, reader=reader)[1] == ("new",)


def test_an_unusual_body_is_read_as_well():
    body = b'\xef\xbb\xbf{"model": "m", "user": "ada", "n": 1.5}'
    summary = RequestSummary()
    LabelReader().read(summary, {}, peek(body).labels)
    assert summary.end_user == "ada"


def test_nothing_is_read_where_nothing_is_kept():
    assert LabelReader().wanted(FullSettings(database_url="off")) is None
    assert LabelReader().wanted(FullSettings()) is not None
