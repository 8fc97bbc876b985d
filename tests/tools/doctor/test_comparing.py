"""What differs between two answers by nature, and what must not."""

import json

import pytest

from llmproxy.tools.doctor.comparing import differences_in_form
from llmproxy.tools.doctor.exchanges import Exchange, SmallCall

WHOLE = SmallCall("chat", "m", stream=False, id="1")
STREAM = SmallCall("chat", "m", stream=True, id="1")
JSON = [(b"content-type", b"application/json")]
SSE = [(b"content-type", b"text/event-stream")]


def answer(body, headers=JSON, status=200):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Exchange(status, list(headers), [(0.1, content)])


def told(direct, through, call=WHOLE):
    return [(f.code, f.cause) for f in differences_in_form(direct, through, call, "m/a")]


def said(direct, through, call=WHOLE):
    ((code, cause),) = told(direct, through, call)
    return code, cause


def test_ids_dates_limits_lengths_and_texts_may_differ():
    one = answer(
        {"id": "a", "text": "one two", "usage": {"n": 2}, "choices": [{"m": 1}]},
        [*JSON, (b"date", b"x"), (b"x-request-id", b"a"), (b"x-ratelimit-remaining-tokens", b"3")],
    )
    other = answer(
        {"id": "b", "text": "one", "usage": {"n": 1}, "choices": [{"m": 2}]},
        [*JSON, (b"date", b"y"), (b"x-request-id", b"b"), (b"cf-ray", b"1")],
    )

    assert told(one, other) == []


@pytest.mark.parametrize("name", [b"set-cookie", b"openai-organization", b"x-llmproxy-endpoint"])
def test_what_the_proxy_keeps_to_itself_is_no_difference(name):
    assert told(answer({}, [*JSON, (name, b"x")]), answer({})) == []


def test_a_status_that_differs_is_all_that_is_told():
    code, cause = said(answer({"a": 1}), answer({"b": 1}, status=502))

    assert code == "proxy_changes_status"
    assert "200 directly, 502 through" in cause


def test_headers_that_are_dropped_or_added_are_named():
    code, cause = said(
        answer({}, [*JSON, (b"x-served-by", b"a")]), answer({}, [*JSON, (b"x-poweredby", b"b")])
    )

    assert code == "proxy_changes_headers"
    assert "dropped x-served-by; added x-poweredby" in cause


@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, "answer lacks b"),
        ({"a": 1}, {"a": 1, "b": 2}, "answer has b in addition"),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, "the members of answer have another order"),
        ({"a": {"b": [{"c": 1}]}}, {"a": {"b": [{}]}}, "answer.a.b[0] lacks c"),
        ({"a": 1}, {"a": "1"}, "answer.a is a string instead of a number"),
        ({"a": True}, {"a": 1}, "answer.a is a number instead of a truth value"),
        ({"a": 1}, b"<html>", "one of the two is no JSON"),
    ],
)
def test_the_first_place_where_the_form_differs_is_named(one, other, difference):
    code, cause = said(answer(one), answer(other))

    assert code == "proxy_changes_answer"
    assert difference in cause


def events(*data, end=b"\n\n"):
    return b"".join(b"data: " + part + end for part in data)


A, B = b'{"id": 1, "text": "x"}', b'{"id": 1, "usage": {}}'


@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [
        (
            events(A, B, b"[DONE]"),
            events(A, b"[DONE]"),
            "the second kind of event is `data:[DONE]`",
        ),
        (events(A, b"[DONE]"), events(A), "only directly there is an event `data:[DONE]`"),
        (events(A), events(A, b"[DONE]"), "only through the proxy there is an event"),
        (events(A), events(A, end=b"\r\n\r\n"), "the lines end otherwise"),
        (b"event: x\ndata: 1\n\n", b"data: 1\n\n", "the first kind of event is"),
        (b"id: 1\ndata: 1\n\n", b"data: 1\n\n", "instead of `id data:a number`"),
    ],
)
def test_events_that_differ_in_form_are_named(one, other, difference):
    code, cause = said(answer(one, SSE), answer(other, SSE), STREAM)

    assert code == "proxy_changes_answer"
    assert difference in cause


def test_a_stream_may_have_more_or_fewer_events_of_one_form_and_signs_of_life():
    one = events(A, A, A, B, b"[DONE]")
    other = b": keep-alive\n\n" + events(A, B, b"[DONE]")

    assert told(answer(one, SSE), answer(other, SSE), STREAM) == []
