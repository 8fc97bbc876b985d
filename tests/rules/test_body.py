"""Reading a body decides and changes nothing; splicing changes the model and nothing else."""

import json
import re
from time import process_time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.errors import ClientError
from llmproxy.rules.body import Peek, peek, with_model

NEW = 'azure-"east"\N{SNOWMAN}'


def routed(body):
    """What routing reads of a body."""
    return msgspec.structs.replace(peek(body), labels=None)


def test_the_fields_that_decide_are_read():
    body = b'{"messages": [{"model": "no"}], "model": "gpt-4.1", "stream": true, "max_tokens": 7}'
    assert routed(body) == Peek(model="gpt-4.1", stream=True, max_output_tokens=7, stateful=False)


@pytest.mark.parametrize("body", [b"{}", b' {"model": null, "stream": null, "max_tokens": null} '])
def test_an_absent_or_null_field_is_none(body):
    assert routed(body) == Peek(model=None, stream=False, max_output_tokens=None, stateful=False)


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        (b'{"max_tokens": 1, "max_completion_tokens": 2}', 2),
        (b'{"max_output_tokens": 3, "max_tokens": 1}', 3),
        (b'{"max_completion_tokens": null, "max_tokens": 1}', 1),
        (b'{"max_tokens": 0}', 0),
        (b'{"max_tokens": -1}', None),
        (b'{"max_tokens": "5"}', None),
        (b'{"max_tokens": [], "model": "m"}', None),
        (b'{"max_tokens": 1e999}', None),
        (b'{"max_tokens": 1.5, "max_output_tokens": 4}', 4),
        (b'{"max_tokens": 5, "n": 3}', 15),
        (b'{"max_tokens": 5, "n": 2, "best_of": 4}', 20),
        (b'{"max_tokens": 5, "n": 0, "best_of": -2}', 5),
        (b'{"max_tokens": 5, "n": null, "best_of": "7"}', 5),
        (b'{"max_tokens": 5, "n": 3, "model": "m", "best_of": 1.5}', 15),
        (b'{"n": 3}', None),
    ],
)
def test_either_output_limit_is_read_and_invalid_ones_are_left_to_the_upstream(body, limit):
    assert peek(body).max_output_tokens == limit


@pytest.mark.parametrize(
    ("body", "stateful"),
    [
        (b'{"background": true}', True),
        (b'{"background": true, "max_tokens": "x"}', True),
        (b'{"background": false, "conversation": null}', False),
        (b'{"conversation": "conv_1"}', True),
        (b'{"conversation": {"id": "conv_1"}}', True),
        (b'{"previous_response_id": "resp_1"}', False),
        (b'{"background": "yes"}', False),
    ],
)
def test_a_background_or_conversation_body_is_stateful(body, stateful):
    assert peek(body).stateful is stateful


@pytest.mark.parametrize(
    ("body", "says", "param"),
    [
        (b"", "is empty", None),
        (b" \n", "is empty", None),
        (b"[]", "is an array", None),
        (b'"x"', "is a string", None),
        (b"3", "is a number", None),
        (b'{"a": NaN}', r"byte 6", None),
        (b'{"a": 1,}', "byte 8", None),
        (b'{"a": 1} x', "trailing characters", None),
        (b'{"model": "a"', "ends after 13 bytes", None),
        (b"{'model': 'a'}", "byte 1", None),
        (b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", "nested too deeply", None),
        (b'{"model": 5}', "'model': expected a string, but got a number", "model"),
        (b'{"model": ["a"]}', "expected a string, but got an array", "model"),
        (b'{"model": {"a": 1}}', "expected a string, but got an object", "model"),
        (b'{"model": false}', "expected a string, but got a boolean", "model"),
        (b'{"model": "\xff"}', "UTF-8", "model"),
        (b'{"stream": "true"}', "'stream': expected a boolean, but got a string", "stream"),
        (b'{"stream": 1}', "expected a boolean, but got a number", "stream"),
        ('{"model": "a"}'.encode("utf-16"), "We could not parse", None),
    ],
)
def test_errors_have_openais_type_and_param(body, says, param):
    with pytest.raises(ClientError, match=says) as refused:
        peek(body)
    assert refused.value.param == param
    assert refused.value.status == 400
    assert refused.value.kind == "invalid_request_error"


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"model": "m"}',
        b'{"input": "cut in half \\ud83d", "model": "m"}',
        b'{"input": "\\ud83d\\u0041", "model": "m"}',
        b'{"input": "\\ude00 \\ud83d\\ude00 \\\\\\ud83d", "model": "m"}',
        b'{"\\ud83d": 1, "model": "m"}',
        b'{"input": "\xff\xfe", "model": "m"}',
        b'{"model": 5, "model": "m"}',
        b'{"model": "a", "mod\\u0065l": "m"}',
        b'{"seed": 123456789012345678901234567890, "t": 1e999, "model": "m"}',
    ],
)
def test_bodies_for_the_upstream_to_judge_are_accepted_and_can_be_spliced(body):
    assert peek(body).model == "m"
    assert peek(with_model(body, "n")).model == "n"


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (rb'{"input": "\ud83d", "model": "gpt \ud83d\ude00"}', "gpt \U0001f600"),
        (rb'{"model": "\uD83D\uDE00", "input": "\ude00"}', "\U0001f600"),
        (rb'{"input": "\ud83d\"", "model": "m"}', "m"),
        (rb'{"input": "\ud83d\\", "model": "m"}', "m"),
        (rb'{"input": "\\\ud83d\\\"", "model": "m"}', "m"),
        (rb'{"input": "\\ud83d \ud83d", "model": "m"}', "m"),
        (rb'{"\ud06dodel": "other", "input": "\ud83d", "model": "m"}', "m"),
        (rb'{"input": [' + rb'"\ud83d \\", ' * 500 + rb'"\uDE00"], "model": "m"}', "m"),
        (rb'{"model": "m", "input": "' + rb"\ud83d\ude00" * 500 + rb'\ud83d"}', "m"),
    ],
)
def test_lone_surrogates_change_nothing_of_what_is_read(body, model):
    assert peek(body).model == model
    spliced = with_model(body, "n")
    assert peek(spliced).model == "n"
    assert spliced.count(rb"\u") >= body.count(rb"\u") - 2


@pytest.mark.parametrize(
    "body",
    [
        rb'{"input": \ud83d"x", "model": "m"}',  # not within a string
        rb'{"input": "\ud83d',
        rb'{"input": "\ud83d", "model": "m"',
        rb'{"model": "\ud83d"}',
        rb'{"input": "\ud83d\ude01", "x": "\ude00", "model": "\ud83d\ude00"}',  # which of the two?
    ],
)
def test_what_is_unclear_or_broken_beside_a_surrogate_is_refused(body):
    with pytest.raises(ClientError) as refused:
        peek(body)
    assert refused.value.status == 400


TEN_MB = 10_000_000
LONE = {
    "one at the end": b"a" * TEN_MB + rb"\ud83d",
    "one in upper case": b"a" * TEN_MB + rb"\uD83D",
    "nothing else": rb"\ud83d" * (TEN_MB // 6),
    "behind pairs": rb"\ud83d\ude00" * (TEN_MB // 12) + rb"\ud83d",
    "in many strings": rb'\ud83d","' * (TEN_MB // 9),
    "behind quotation marks": rb"\"\ud83d" * (TEN_MB // 8),
    "behind backslashes": rb"\\" * (TEN_MB // 2) + rb"\ud83d",
}


@pytest.mark.clock
@pytest.mark.parametrize("what", LONE)
def test_lone_surrogates_in_10_mb_are_found_in_linear_time(what):
    body = b'{"model": "m", "input": ["' + LONE[what] + b'"]}'
    began = process_time()
    assert peek(body).model == "m"
    # 10 to 30 ms where little else runs; it was 0.8 to 2.8 s.
    assert process_time() - began < 0.5


class Members(list):
    """An object's members as a list of pairs, so that keys may occur twice."""


def members(values):
    keys = st.text(max_size=4) | st.sampled_from(["model", "model", "stream", 'x"model', "mode"])
    pair = st.tuples(keys, values).filter(lambda pair: pair[0] != "stream")
    model = st.tuples(st.just("model"), st.text(max_size=6))
    return st.lists(pair | model, max_size=4).map(Members)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(['"model":"x"', 'x\\"model', "model", '{"model": "y"}']),
    lambda inner: st.lists(inner, max_size=3) | members(inner),
    max_leaves=12,
)


def written(value, draw):
    """JSON text of a value in an arbitrary formatting."""
    space = draw(st.sampled_from(["", "", " ", "\n", "\t \r\n"]))
    if isinstance(value, Members):
        inside = [
            f"{space}{text_of(key, draw)}{space}:{space}{written(item, draw)}"
            for key, item in value
        ]
        return "{" + ",".join(inside) + space + "}"
    if isinstance(value, list):
        return "[" + ",".join(space + written(item, draw) for item in value) + space + "]"
    return text_of(value, draw) if isinstance(value, str) else json.dumps(value)


def text_of(text, draw):
    if text == "model" and draw(st.integers(0, 7)) == 0:
        return '"mod\\u0065l"'
    return json.dumps(text, ensure_ascii=draw(st.booleans()))


@st.composite
def bodies(draw):
    """A JSON object, maybe with several `model` members at its top, all of them texts or null."""
    top = draw(members(JSON))
    texts = st.text(max_size=6) | st.none()
    top = Members(
        (key, draw(texts) if key == "model" else value) for key, value in top if key != "stream"
    )
    around = draw(st.sampled_from(["", " ", "\r\n"]))
    return (around + written(top, draw) + around).encode()


@given(bodies(), st.text(min_size=1, max_size=8))
def test_only_the_model_changes_and_the_bytes_around_it_stay(body, model):
    spliced = with_model(body, model)
    assert json.loads(spliced) == {**json.loads(body), "model": model}
    value = msgspec.json.encode(model)
    changes = (value, b'"model":' + value, b'"model":' + value + b",")
    assert any(one_span_differs(body, spliced, change) for change in changes)


def one_span_differs(body, spliced, change):
    """Whether `spliced` is `body` with `change` in the place of one contiguous span of it."""
    places = (match.start() for match in re.finditer(re.escape(change), spliced))
    return any(
        body.startswith(spliced[:at])
        and body.endswith(after := spliced[at + len(change) :])
        and at + len(after) <= len(body)
        for at in places
    )


@given(bodies())
def test_a_body_is_read_as_pythons_own_parser_reads_it(body):
    assert peek(body).model == json.loads(body).get("model")


@pytest.mark.parametrize(
    ("body", "spliced"),
    [
        (b'{"model":"a"}', b'{"model":"N"}'),
        (b'{ "x" : 1 , "model"\t:\n"a" }', b'{ "x" : 1 , "model"\t:\n"N" }'),
        (b"{}", b'{"model":"N"}'),
        (b' {"x":1}\n', b' {"model":"N","x":1}\n'),
        (b'{"x":{"model":"a"}}', b'{"model":"N","x":{"model":"a"}}'),
        (b'{"model":null}', b'{"model":"N"}'),
        (b'{"model":"a","model":"b"}', b'{"model":"a","model":"N"}'),
        (b'{"model":"a","t":{"model":"b"}}', b'{"model":"N","t":{"model":"b"}}'),
        (b'{"t":{"model":"b"},"model":"a"}', b'{"t":{"model":"b"},"model":"N"}'),
        (b'{"a\\"model":"x","model":"y"}', b'{"a\\"model":"x","model":"N"}'),
        (b'{"a":"\\"model\\":\\"x\\"","model":"y"}', b'{"a":"\\"model\\":\\"x\\"","model":"N"}'),
        (b'{"model":"b","mod\\u0065l":"a"}', b'{"model":"b","mod\\u0065l":"N"}'),
        (b'{"model":"b\\"\\\\"}', b'{"model":"N"}'),
        (b'{"b":1,"model":"y","a\\"model":"x"}', b'{"b":1,"model":"N","a\\"model":"x"}'),
        (b'{"n":9999999999999999.10e+0,"model":"a"}', b'{"n":9999999999999999.10e+0,"model":"N"}'),
    ],
)
def test_splicing_keeps_the_rest_as_it_was_written(body, spliced):
    assert with_model(body, "N") == spliced


def test_a_body_that_already_names_the_model_stays_the_same():
    body = b'{"t": {"model": "N"}, "model": "N", "u": {"model": "N"}}'
    assert with_model(body, "N") == body


def test_the_top_level_model_is_found_among_many_nested_ones():
    nested = b",".join([b'{"model": "x"}'] * 500)
    body = b'{"a": [' + nested + b'], "model": "m", "b": [' + nested + b"]}"
    assert json.loads(with_model(body, "N"))["model"] == "N"
    assert with_model(body, "N").count(b'"N"') == 1


def test_a_big_body_is_spliced_wherever_its_model_stands():
    image = b'"' + b"iVBORw0KGgo" * 300_000 + b'"'
    for body in (b'{"model":"m","x":%s}' % image, b'{"x":%s,"model":"m"}' % image):
        assert with_model(body, "N") == body.replace(b'"m"', b'"N"')
    assert with_model(b'{"x":%s}' % image, "N") == b'{"model":"N","x":%s}' % image


def test_a_big_body_with_an_escaped_model_key_is_refused_with_the_remedy():
    body = b'{"mod\\u0065l":"m","x":"' + b"x" * (1 << 20) + b'"}'
    with pytest.raises(ClientError, match='plain "model"') as refused:
        with_model(body, "N")
    assert refused.value.param == "model"


@pytest.mark.parametrize("body", [b"[]", b"{", b"", b"[" * 5000])
def test_a_body_that_is_not_an_object_is_not_spliced(body):
    with pytest.raises(ClientError):
        with_model(body, "N")


@given(st.binary(max_size=60) | st.text('{}[]":,\\model \n1', max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused_and_never_crash(body):
    try:
        seen = peek(body)
    except ClientError as refused:
        assert refused.status == 400
        return
    assert peek(with_model(body, NEW)) == msgspec.structs.replace(seen, model=NEW)


@pytest.mark.parametrize(
    ("member", "thinks"),
    [
        ('"n": 1', None),
        ('"reasoning_effort": null', None),
        ('"reasoning_effort": "high"', True),
        ('"reasoning_effort": "minimal"', False),
        ('"reasoning_effort": "none"', False),
        ('"reasoning": {"effort": "medium", "summary": "auto"}', True),
        ('"reasoning": {"effort": "none"}', False),
        ('"reasoning": {"enabled": false}', False),
        ('"thinking": {"type": "enabled", "budget_tokens": 32000}', True),
        ('"thinking": {"type": "adaptive"}', True),
        ('"thinking": {"type": "disabled"}', False),
        ('"thinking": 7, "stop": "\\ud800"', True),  # the slower path
    ],
)
def test_whether_a_body_asks_the_model_to_reason(member, thinks):
    assert peek(b'{"model": "m", %b}' % member.encode()).thinks is thinks
