"""The SQLite store: an unusable file is set aside, and the store goes on."""

import os
import re
import sqlite3
from time import time

import pytest

from llmproxy.batteries.cache.stores.base import StoreError
from tests.support.answers import Clock, answer, kept, on_disk
from tests.support.run import bounded


def set_aside(folder):
    """Without what SQLite had beside it."""
    return [path for path in folder.iterdir() if re.search(r"\.corrupt-\d+$", path.name)]


def no_database(path):
    path.write_bytes(b"these are no answers" * 500)


def another_programs(path):
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE answers (key, value)")
    database.close()


def another_version(path):
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()


def half_of_it(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("other", [no_database, half_of_it, another_programs, another_version])
@bounded()
async def test_an_unusable_file_is_set_aside_and_a_new_one_created(tmp_path, caplog, other):
    path, clock = tmp_path / "answers", Clock()
    if other in (half_of_it, another_version):
        async with on_disk(path) as store:
            await store.write([answer(number, time()) for number in range(100)])
    other(path)
    before = path.read_bytes()
    async with on_disk(path, clock=clock) as store:
        await store.write([answer(7, clock.now)])
        assert await kept(store, range(100)) == [7]
    (aside,) = set_aside(tmp_path)
    assert aside.name == "answers.corrupt-1700000000"
    assert aside.read_bytes() == before
    (message,) = [record.getMessage() for record in caplog.records]
    assert str(path) in message and str(aside) in message
    async with on_disk(path, clock=clock) as store:
        assert await kept(store, range(100)) == [7]


def its_second_half_is_noise(path):
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + os.urandom(len(whole) // 2))


@bounded()
async def test_damage_found_later_costs_one_operation(tmp_path, caplog):
    path = tmp_path / "answers"
    async with on_disk(path) as store:
        await store.write([answer(number, time()) for number in range(100)])
    its_second_half_is_noise(path)
    async with on_disk(path) as store:
        with pytest.raises(StoreError, match="malformed"):
            await kept(store, range(100))
        assert await kept(store, range(100)) == []
        await store.write([answer(7, time())])
        assert await kept(store, range(100)) == [7]
    assert len(caplog.records) == 1
    assert len(set_aside(tmp_path)) == 1


@bounded()
async def test_a_process_that_finds_damage_keeps_the_new_file_of_another(tmp_path, caplog):
    path = tmp_path / "answers"
    async with on_disk(path) as store:
        await store.write([answer(number, time()) for number in range(100)])
    its_second_half_is_noise(path)
    async with on_disk(path) as one, on_disk(path) as other:
        with pytest.raises(StoreError):
            await kept(one, range(100))
        await one.write([answer(7, time())])
        assert await kept(other, range(100)) == [7]
        await other.write([answer(8, time())])
        assert await kept(one, range(100)) == [7, 8]
    async with on_disk(path) as store:
        assert await kept(store, range(100)) == [7, 8]
    assert len(caplog.records) == 1
    assert len(set_aside(tmp_path)) == 1


@bounded()
async def test_a_removed_file_is_created_again(tmp_path):
    path = tmp_path / "answers"
    async with on_disk(path) as one, on_disk(path) as other:
        await one.write([answer(7, time())])
        for file in tmp_path.iterdir():
            file.unlink()
        assert await kept(one, [7]) == []
        await one.write([answer(8, time())])
        assert await kept(other, [7, 8]) == [8]
    async with on_disk(path) as store:
        assert await kept(store, [7, 8]) == [8]
