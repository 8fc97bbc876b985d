"""The keys in memory: every one is found, and only those."""

import random
from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st

from llmproxy.batteries.keys.copy import CopyHead, read_copy, write_copy
from llmproxy.batteries.keys.key import Key
from llmproxy.batteries.keys.table import KeyTable

KEY = Key("nightly", "search", "key_1", ("eu",), ("gpt-4.1*",), 60, 1000, 4, True, 5.0, True)


def digest(number):
    return sha256(b"%d" % number).digest()


def key(number, **more):
    return Key(name=f"name-{number}", key=f"key_{number}", **more)


def full(count):
    table = KeyTable()
    table.change({digest(number): key(number) for number in range(count)})
    return table


def test_a_key_is_found_as_it_was_given():
    table = KeyTable()
    table.change({digest(1): KEY})
    assert table.find(digest(1)) == KEY
    assert table.find(digest(2)) is None


def test_the_same_object_is_found_until_the_key_changes():
    table = full(10)
    first = table.find(digest(3))
    assert table.find(digest(3)) is first
    table.change({digest(3): key(3, blocked=True)})
    assert table.find(digest(3)).blocked


def test_each_of_ten_thousand_keys_is_found_and_no_other():
    table = full(10_000)
    assert table.count == 10_000
    for number in random.Random(1).sample(range(10_000), 1_000):
        assert table.find(digest(number)).name == f"name-{number}"
        assert table.find(digest(number + 10_000)) is None


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=100))
@settings(deadline=None)
def test_changes_are_those_of_a_dictionary(changes):
    table, known = KeyTable(), {}
    for step, (number, is_there) in enumerate(changes):
        new = key(number, rpm=step + 1) if is_there else None
        table.change({digest(number): new})
        if new is None:
            known.pop(number, None)
        else:
            known[number] = new
    assert table.count == len(known)
    assert {number: table.find(digest(number)) for number in range(41)} == {
        number: known.get(number) for number in range(41)
    }


def test_a_copy_in_a_file_holds_all_keys_and_is_the_owners_only(tmp_path):
    file, kept = tmp_path / "folder" / "keys", full(5_000).parts()
    write_copy(file, CopyHead(1, "db", 7, len(kept)), kept)
    assert file.stat().st_mode & 0o777 == 0o600
    found, parts = read_copy(file, "db")
    table = KeyTable()
    table.install(parts)
    assert (found.version, table.count) == (7, 5_000)
    assert table.find(digest(4_999)).name == "name-4999"


def test_a_copy_of_another_database_or_a_damaged_one_is_none(tmp_path):
    file = tmp_path / "keys"
    assert read_copy(file, "db") is None
    kept = full(100).parts()
    write_copy(file, CopyHead(1, "db", 7, len(kept)), kept)
    assert read_copy(file, "other") is None
    file.write_bytes(file.read_bytes()[:-1])
    assert read_copy(file, "db") is None
    write_copy(file, CopyHead(1, "db", 7, len(kept)), kept[:-1])
    assert read_copy(file, "db") is None
    file.write_bytes(b"\xff\n")
    assert read_copy(file, "db") is None
