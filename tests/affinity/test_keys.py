"""What names a conversation: all its turns have one name, and others have another."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.affinity.keys import naming_of
from tests.affinity.conversations import RULES, asking, messages, turn_of


def key(call, *, by_session=False):
    return naming_of(call, by_session=by_session).key


def test_all_turns_of_a_chat_have_one_key_and_another_chat_has_another():
    keys = {key(turn_of("cats", turn)) for turn in range(5)}
    assert len(keys) == 1
    assert key(turn_of("dogs")) not in keys


def test_a_chat_goes_on_once_it_has_an_answer():
    assert not naming_of(turn_of("cats"), by_session=False).goes_on
    assert naming_of(turn_of("cats", 1), by_session=False).goes_on


@pytest.mark.parametrize("member", ["messages", "input"])
def test_a_chat_goes_on_wherever_a_message_says_whose_it_is(member):
    def role_last(role, text):
        return {"content": [{"type": "text", "text": text, "role": "user"}], "role": role}

    path = "responses" if member == "input" else "messages"
    begin = [role_last("user", "cats")]
    later = [*begin, role_last("assistant", "Cats."), role_last("user", "And?")]
    one, two = (
        naming_of(asking({member: given}, path=path), by_session=False) for given in (begin, later)
    )
    assert one.key == two.key
    assert (one.goes_on, two.goes_on) == (False, True)


def test_all_messages_before_the_first_answer_count():
    first = {"role": "user", "content": "The environment."}
    one, two = ([first, {"role": "user", "content": ask}] for ask in ("Sort it.", "Find it."))
    assert key(asking({"messages": one})) != key(asking({"messages": two}))
    answered = [*one, {"role": "assistant", "content": "Done."}, {"role": "user", "content": "?"}]
    assert key(asking({"messages": one})) == key(asking({"messages": answered}))


@pytest.mark.parametrize(
    ("path", "name", "member"),
    [("messages", "system", "messages"), ("responses", "instructions", "input")],
)
def test_another_system_prompt_is_another_conversation(path, name, member):
    hello = [{"role": "user", "content": "Hello"}]
    one, two = (asking({name: RULES + more, member: hello}, path=path) for more in ("1", "2"))
    assert key(one) != key(two)


def test_responses_are_named_by_a_text_as_well_as_by_items():
    text = asking({"instructions": RULES, "input": "Hello"}, path="responses")
    assert key(text) is not None
    items = [{"type": "message", "role": "user", "content": "Hello"}]
    called = [*items, {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "1"}]
    begun, going_on = (asking({"input": given}, path="responses") for given in (items, called))
    assert key(begun) == key(going_on)
    assert naming_of(going_on, by_session=False).goes_on


def test_cache_control_may_move_on_as_the_conversation_grows():
    marked = {"type": "text", "text": "Hello", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    plain = {"type": "text", "text": "Hello"}
    one, two = (
        asking({"system": RULES, "messages": [{"role": "user", "content": [part]}]})
        for part in (marked, plain)
    )
    assert key(one) == key(two)


def test_a_prompt_cache_key_names_the_conversation_whatever_it_says():
    one = turn_of("cats", prompt_cache_key="user-1")
    assert key(one) == key(turn_of("dogs", 3, prompt_cache_key="user-1"))
    assert key(one) != key(turn_of("cats", prompt_cache_key="user-2"))


def test_a_prompt_cache_key_that_a_message_quotes_names_nothing():
    one, two = (
        asking({"messages": [{"role": "user", "content": word + '{"prompt_cache_key": "x"}'}]})
        for word in ("Say ", "Write ")
    )
    assert key(one) != key(two)


@pytest.mark.parametrize(
    "header", [b"session_id", b"session-id", b"x-claude-code-session-id", b"x-session-affinity"]
)
def test_a_clients_session_names_the_conversation(header):
    body = {"messages": messages("cats")}
    one = asking(body, headers=[(b"accept", b"*/*"), (header, b"s-1")])
    assert key(one) == key(asking({"messages": messages("dogs")}, headers=[(header, b"s-1")]))
    assert key(one) != key(asking(body, headers=[(header, b"s-2")]))


@pytest.mark.parametrize(
    "ids",
    [
        {"user": "u-1"},
        {"safety_identifier": "u-1"},
        {"session_id": "u-1"},
        {"metadata": {"user_id": "user_1_account__session_2"}},
    ],
)
def test_by_session_the_clients_user_names_it(ids):
    one, two = turn_of("cats", **ids), turn_of("dogs", **ids)
    assert key(one, by_session=True) == key(two, by_session=True)
    assert key(one) != key(two)


def test_by_session_a_call_without_one_is_named_by_its_beginning():
    assert key(turn_of("cats"), by_session=True) == key(turn_of("cats", 3), by_session=True)
    assert key(turn_of("cats", metadata={"team": 1}), by_session=True) is not None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"no JSON",
        b"{}",
        b'{"messages": {}}',
        b'{"messages": []}',
        b'{"messages": [1]}',
        b'{"input": null}',
        b'{"messages": [{"role": 1}], "metadata": 3}',
        b'{"messages": [{"role": "user", "content": "\\ud83d"}]}',
    ],
)
def test_what_cannot_be_read_has_no_error(body):
    for by_session in (False, True):
        naming_of(asking(body), by_session=by_session)


texts = st.text(max_size=3000)


@given(texts, texts, st.lists(texts, max_size=6))
def test_a_longer_conversation_has_the_key_of_its_beginning(system, first, rest):
    opening = [{"role": "system", "content": system}, {"role": "user", "content": first}]
    later = [
        {"role": "user" if number % 2 else "assistant", "content": text}
        for number, text in enumerate(rest)
    ]
    one, two = (
        json.dumps({"messages": given}, ensure_ascii=False).encode()
        for given in (opening, opening + later)
    )
    assert key(asking(one)) == key(asking(two))
