"""What is read in events: their kind, what a response has used, when one is under way."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import CONT, TEXT, Frame

from llmproxy.batteries.websockets.events import (
    added,
    kind_of,
    usage_in_end,
    with_session_model,
)
from llmproxy.batteries.websockets.responses import Responses
from llmproxy.operations import Usage


def event(kind, **parts):
    return json.dumps({"type": kind, **parts}).encode()


def done(kind="response.done", **usage):
    return event(kind, response={"id": "r", "usage": usage})


def note(responses, payload):
    return responses.note(Frame(TEXT, payload), payload)


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (event("response.done"), b"response.done"),
        (b'{ "event_id":"e" , "type" : "response.created" }', b"response.created"),
        (event("response.output_audio.delta", delta="x" * 1000), b"response.output_audio.delta"),
        (event("session.updated"), b""),
        (event("conversation.item.created", text='say "response.done" twice'), b""),
        (b"", b""),
        (b'"response.', b"response"),
    ],
)
def test_the_kind_of_an_event_is_found_wherever_its_type_stands(payload, kind):
    assert kind_of(payload) == kind


def test_usage_is_read_in_the_words_of_both_apis():
    realtime = done(input_tokens=9, output_tokens=4, input_token_details={"cached_tokens": 5})
    assert usage_in_end(realtime) == Usage(9, 4, 5)
    responses = done(input_tokens=9, output_tokens=4, input_tokens_details={"cached_tokens": 5})
    assert usage_in_end(responses) == Usage(9, 4, 5)
    assert usage_in_end(done(input_tokens=9)) == Usage(9, 0, 0)


def test_sound_has_prices_of_its_own_and_all_responses_of_a_session_add_up():
    heard = {"audio_tokens": 6, "cached_tokens": 2, "image_tokens": 1}
    spoken = {"audio_tokens": 3, "text_tokens": 1}
    usage = usage_in_end(
        done(
            input_tokens=9,
            output_tokens=4,
            input_token_details=heard,
            output_token_details=spoken,
        )
    )
    sound = {"audio_input_tokens": 6, "audio_output_tokens": 3, "image_input_tokens": 1}
    assert usage == Usage(9, 4, 2, **sound)
    both = {name: 2 * count for name, count in sound.items()}
    assert added(added(None, usage), usage) == Usage(18, 8, 4, **both)


@pytest.mark.parametrize(
    "payload",
    [b"", b"[1]", done(), done(input_tokens=-1), event("response.done", response=None), b"\xff"],
)
def test_what_reports_no_usage_has_none(payload):
    assert usage_in_end(payload) is None


@given(st.binary(max_size=200))
def test_nothing_that_an_endpoint_sends_raises(payload):
    kind_of(payload)
    usage_in_end(payload)
    responses = Responses()
    responses.asked()
    note(responses, payload)


def test_a_response_is_under_way_from_the_request_to_its_end():
    responses = Responses()
    responses.asked()
    assert responses.under_way
    note(responses, event("response.created"))
    note(responses, event("response.output_text.delta"))
    assert responses.under_way
    assert note(responses, done(input_tokens=1)) == Usage(1, 0, 0)
    assert not responses.under_way


def test_a_response_that_nobody_asked_for_is_under_way_too():
    responses = Responses()  # voice activity detection creates it
    note(responses, event("response.created"))
    assert responses.under_way
    note(responses, done())
    assert not responses.under_way


@pytest.mark.parametrize("kind", ["response.completed", "response.failed", "response.incomplete"])
def test_each_end_of_responses_is_one(kind):
    responses = Responses()
    responses.asked()
    note(responses, done(kind))
    assert not responses.under_way


def test_an_error_answers_a_request():
    responses = Responses()
    responses.asked()
    note(responses, event("error", error={"code": "x"}))
    assert not responses.under_way


def test_an_end_in_fragments_is_read_when_it_is_whole():
    responses, whole = Responses(), done(input_tokens=7, output_tokens=1)
    note(responses, event("response.created"))
    parts = [(TEXT, whole[:30], False), (CONT, whole[30:50], False), (CONT, whole[50:], True)]
    usages = [responses.note(Frame(kind, part, fin), part) for kind, part, fin in parts]
    assert usages == [None, None, Usage(7, 1, 0)]
    assert not responses.under_way


def test_only_our_own_name_of_the_model_is_replaced():
    update = b'{"type":"session.update","session":{"model":"voice","voice":"x"}}'
    assert with_session_model(update, "voice", "real") == update.replace(b'"voice",', b'"real",', 1)
    for same in (
        update.replace(b"session.update", b"session.other"),
        update.replace(b'"model":"voice"', b'"model":"other"'),
        b'{"type":"session.update","session":1}',
        b'"session.update"',
    ):
        assert with_session_model(same, "voice", "real") == same
    assert with_session_model(update, "voice", None) == update
