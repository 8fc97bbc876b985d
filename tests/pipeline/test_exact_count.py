"""Calls whose vendor returned no usage are counted: seldom, off the loop, at nobody's expense."""

import asyncio
import json
import subprocess
import sys
import threading

import pytest
from msgspec.structs import replace

from llmproxy.pipeline.failover.exact_count import (
    MAX_BODY_BYTES,
    PIECE_CHARS,
    ExactCounts,
    input_tokens,
    o200k_base,
)
from llmproxy.rules.estimate import measure
from tests.routing.pools import call, group
from tests.rules.bodies import STYLES, calls
from tests.story.limited import until
from tests.support.run import bounded

CHAT = "chat/completions"


def body_of(asked):
    return json.dumps(asked).encode()


def words(text):
    """A tokenizer that anybody can follow."""
    return len(text.split())


def counted(asked, operation=CHAT):
    return input_tokens(body_of(asked), operation, words)


def saying(text):
    return body_of({"messages": [{"role": "user", "content": text}]})


class Counting:
    """A group, the counts of its calls, and a clock that a test moves."""

    def __init__(self, count):
        self.group = group(("a", 1, 0), ("b", 1, 0))
        self.now = 0.0
        self.counts = ExactCounts(count, lambda: self.now)

    def consider(self, body, group=None):
        size = measure(body, CHAT)
        self.counts.consider(replace(call(), body=body), group or self.group, size)
        return size

    def learned(self):
        return sum(each.calls for each in self.group.estimator.errors().values())


# ---- what is counted


def test_a_message_counts_its_texts_and_three_and_the_reply_three_more():
    one = {"role": "user", "content": "two words"}
    parts = {"role": "user", "content": [{"type": "text", "text": "three more words"}]}

    assert counted({"messages": [one]}) == (3 + 1 + 2) + 3
    assert counted({"messages": [one, parts]}) == (3 + 1 + 2) + (3 + 1 + 3) + 3


def test_what_tools_were_called_with_and_what_they_said_counts():
    asked = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "a b"}}
    messages = [
        {"role": "assistant", "content": None, "tool_calls": [asked]},
        {"role": "tool", "tool_call_id": "call_1", "content": "it is four words"},
    ]

    assert counted({"messages": messages}) == (3 + 1 + 1 + 2) + (3 + 1 + 4) + 3


def test_tools_count_as_the_json_that_they_are():
    message = {"role": "user", "content": "two words"}
    tools = [{"type": "function", "function": {"name": "f", "description": "d"}}]

    with_tools = counted({"messages": [message], "tools": tools})

    assert with_tools - counted({"messages": [message]}) == words(json.dumps(tools))


def test_a_response_counts_its_instructions_and_its_input():
    said = [{"role": "user", "content": [{"type": "input_text", "text": "two words"}]}]

    assert counted({"input": "two words"}, "responses") == (3 + 1 + 2) + 3
    assert counted({"input": said}, "responses") == (3 + 1 + 2) + 3
    assert counted({"instructions": "be", "input": said}, "responses") == (3 + 2) + (3 + 3) + 3


@pytest.mark.parametrize(("operation", "key"), [("embeddings", "input"), ("completions", "prompt")])
def test_plain_texts_and_token_ids_count_as_they_are(operation, key):
    for given, tokens in [
        ("two words", 2),
        (["two words", "one"], 3),
        ([5, 6, 7], 3),
        ([[5], [6]], 2),
    ]:
        assert counted({key: given}, operation) == tokens


@pytest.mark.parametrize(
    ("asked", "operation"),
    [
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, CHAT),
        ({"messages": "none"}, CHAT),
        ({"input": "go on", "previous_response_id": "resp_1"}, "responses"),
        ({"input": "go on", "conversation": "conv_1"}, "responses"),
        ({"prompt": {"id": "pmpt_1"}}, "responses"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "responses"),
        ({"prompt": {"a": 1}}, "completions"),
        ({"input": "words"}, "moderations"),
    ],
)
def test_what_is_not_in_the_texts_is_not_guessed(asked, operation):
    assert counted(asked, operation) == 0


def test_a_body_that_is_no_json_has_no_count():
    assert input_tokens(b"{", CHAT, words) == 0


def test_a_long_text_is_counted_in_pieces_and_every_piece_counts():
    seen = []

    def count(text):
        seen.append(len(text))
        return len(text)

    assert input_tokens(body_of({"input": "x" * 40_000}), "embeddings", count) == 40_000
    assert max(seen) == PIECE_CHARS
    assert len(seen) == 5


# ---- how seldom


@bounded()
async def test_the_estimates_of_a_group_learn_from_a_count():
    counting = Counting(lambda text: 500)

    size = counting.consider(saying("hello"))
    await until(counting.learned)

    assert counting.group.estimator.tokens(size) > 100
    await counting.counts.close()


@bounded()
async def test_while_one_call_is_counted_no_other_is_and_nobody_waits():
    may_go, started = threading.Event(), []

    def count(text):
        started.append(text)
        may_go.wait(10)
        return 1

    counting, other = Counting(count), group(("c", 1, 0))
    other.name = "other"
    counting.consider(saying("first"))
    await until(lambda: started)
    counting.now = 10.0
    counting.consider(saying("second"))
    counting.consider(saying("third"), other)
    may_go.set()
    await until(counting.learned)

    assert "first" in started
    assert not {"second", "third"} & set(started)
    await counting.counts.close()


@bounded()
async def test_of_each_group_one_call_a_second_is_counted():
    counting, other = Counting(words), group(("c", 1, 0))
    other.name = "other"

    async def learned_after(now, group=None):
        counting.now = now
        counting.consider(saying("hello"), group)
        await counting.counts.idle()
        return counting.learned()

    assert await learned_after(0.0) == 1
    assert await learned_after(0.9) == 1
    assert await learned_after(0.9, other) == 1
    assert len(other.estimator.errors()) == 1
    assert await learned_after(1.0) == 2
    await counting.counts.close()


@bounded()
async def test_a_body_that_is_too_long_is_not_counted():
    seen = []
    counting = Counting(lambda text: seen.append(text) or 1)

    counting.consider(saying("x" * MAX_BODY_BYTES))
    await counting.counts.close()

    assert not seen


@bounded()
async def test_once_a_vendor_has_told_the_usage_of_a_kind_that_kind_is_not_counted():
    counting = Counting(words)
    size = measure(saying("hello"), CHAT)
    counting.group.learn_tokens(size, 10)

    counting.consider(saying("hello"))
    await counting.counts.close()

    assert counting.learned() == 1


@bounded()
async def test_a_vendors_word_that_comes_while_a_call_is_counted_is_better_than_the_count():
    may_go = threading.Event()
    counting = Counting(lambda text: may_go.wait(10) and 1)

    size = counting.consider(saying("hello"))
    counting.group.learn_tokens(size, 10)
    may_go.set()
    await counting.counts.close()

    assert counting.learned() == 1


@bounded()
async def test_a_counter_that_fails_is_told_once_without_the_prompt_and_is_tried_again(caplog):
    asked = []

    def count(text):
        asked.append(text)
        raise ValueError(f"cannot count {text}")

    counting = Counting(count)
    for now in (0.0, 1.0, 2.0):
        counting.now = now
        counting.consider(saying("a secret"))
        await counting.counts.idle()
    await counting.counts.close()

    assert len(asked) == 3
    assert counting.learned() == 0
    assert len(caplog.records) == 1
    assert "ValueError" in caplog.text
    assert "secret" not in caplog.text


@bounded()
async def test_a_body_is_held_no_longer_than_its_count_takes():
    counting, body = Counting(words), saying("hello")
    before = sys.getrefcount(body)

    counting.consider(body)
    await counting.counts.idle()

    await until(lambda: sys.getrefcount(body) == before)
    await counting.counts.close()


@bounded()
async def test_closing_waits_for_the_count_that_is_under_way():
    started, ended = threading.Event(), []

    def count(text):
        started.set()
        threading.Event().wait(0.1)
        ended.append(text)
        return 1

    counting = Counting(count)
    counting.consider(saying("hello"))
    await asyncio.to_thread(started.wait, 5)
    await counting.counts.close()

    assert ended
    assert counting.learned() == 1


# ---- with the real vocabulary


@pytest.fixture(scope="module")
def real():
    pytest.importorskip("bpe_openai", reason="needs the extra llmproxy[exact]")
    return o200k_base()


@pytest.mark.parametrize("style", sorted(set(STYLES) - {"tools"}))
def test_the_count_is_that_of_the_recorded_corpus(style, real):
    for body, operation, tokens in calls(style)[:25]:
        found = input_tokens(body, operation, real)
        cuts = len(body) // PIECE_CHARS
        assert tokens <= found <= tokens + cuts


def test_the_count_of_tools_is_about_right(real):
    found = [
        (input_tokens(body, operation, real), tokens) for body, operation, tokens in calls("tools")
    ]

    assert all(tokens * 0.8 < count < tokens * 2 for count, tokens in found)


def test_special_tokens_in_a_text_are_text(real):
    assert real("<|endoftext|>") > 1


def test_loading_and_counting_opens_no_connection_and_starts_no_process(real):
    code = (
        "import sys, threading\n"
        "seen = []\n"
        "watched = ('socket.', 'subprocess.', 'urllib.', 'os.system', 'os.posix_spawn')\n"
        "sys.addaudithook(lambda name, _: seen.append(name) if name.startswith(watched) else 0)\n"
        "from llmproxy.pipeline.failover.exact_count import o200k_base\n"
        "imported = len(seen)\n"
        "assert o200k_base()('hello world') == 2\n"
        "print(threading.active_count(), seen[imported:])"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert told.stdout == "1 []\n"
