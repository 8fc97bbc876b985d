"""Answers in memory: their age, their size, and purges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.cache.cached_answer import CachedAnswer
from llmproxy.batteries.cache.stores.memory import MemoryStore

ENTRY_BYTES = 512


def entry(body=b"answer", at=0.0, group="g"):
    return CachedAnswer(group, b"application/json", body, at)


def memory(*, entries=3, body_bytes=100, keep_s=10.0):
    return MemoryStore(max_bytes=entries * (body_bytes + ENTRY_BYTES), keep_s=keep_s)


def test_answers_are_found_until_they_expire():
    kept = memory(keep_s=10.0)
    kept.put(b"k", entry(at=5.0))
    assert kept.get(b"k", 14.9) == entry(at=5.0)
    assert kept.get(b"other", 5.0) is None
    assert kept.get(b"k", 15.0) is None
    assert (len(kept), kept.bytes) == (0, 0)


def test_a_later_answer_replaces_an_earlier_one():
    kept = memory()
    kept.put(b"k", entry(b"old"))
    kept.put(b"k", entry(b"new", 1.0))
    assert kept.get(b"k", 1.0).body == b"new"
    assert (len(kept), kept.bytes) == (1, 3 + ENTRY_BYTES)


def test_a_full_memory_evicts_the_least_recently_used_first():
    kept = memory(entries=3, body_bytes=100)
    for name in (b"a", b"b", b"c"):
        kept.put(name, entry(bytes(100)))
    assert kept.get(b"a", 0.0) is not None
    kept.put(b"d", entry(bytes(100)))
    found = [name for name in (b"a", b"b", b"c", b"d") if kept.get(name, 0.0) is not None]
    assert found == [b"a", b"c", b"d"]


def test_an_answer_bigger_than_the_bound_evicts_nothing():
    kept = memory(entries=3, body_bytes=100)
    kept.put(b"a", entry(bytes(100)))
    kept.put(b"huge", entry(bytes(10_000)))
    assert kept.get(b"huge", 0.0) is None
    assert kept.get(b"a", 0.0) is not None


@pytest.mark.parametrize(
    ("group", "stored_before", "left"),
    [
        (None, None, ""),
        ("g", None, "yz"),
        ("h", None, "ab"),
        ("other", None, "abyz"),
        (None, 6.0, "bz"),
        ("g", 6.0, "byz"),
    ],
)
def test_a_purge_removes_matching_answers_only(group, stored_before, left):
    kept = memory(entries=4)
    kept.put(b"a", entry(at=5.0))
    kept.put(b"b", entry(at=6.0))
    kept.put(b"y", entry(at=5.0, group="h"))
    kept.put(b"z", entry(at=6.0, group="h"))
    assert kept.purge(group, stored_before) == 4 - len(left)
    assert "".join(name for name in "abyz" if kept.get(name.encode(), 6.0)) == left
    assert (len(kept), kept.bytes) == (len(left), len(left) * (6 + ENTRY_BYTES))


@pytest.mark.parametrize("max_bytes", [2_000, 20_000])
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3_000)), max_size=60))
def test_bytes_are_the_size_of_the_entries_and_never_above_the_bound(max_bytes, puts):
    kept = MemoryStore(max_bytes=max_bytes, keep_s=10.0)
    for name, size in puts:
        kept.put(bytes([name]), entry(bytes(size)))
        assert kept.bytes <= max_bytes
    found = [kept.get(bytes([name]), 0.0) for name in range(10)]
    held = [answer for answer in found if answer is not None]
    assert kept.bytes == sum(len(answer.body) + ENTRY_BYTES for answer in held)
    assert len(kept) == len(held)
