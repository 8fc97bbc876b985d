"""Owners are remembered in memory, and behind it in a store that may fail."""

import asyncio
import contextlib
from pathlib import Path
from time import process_time

import pytest

from llmproxy.batteries.background import background
from llmproxy.batteries.owners import place_of_file
from llmproxy.batteries.owners.accounts import Owner
from llmproxy.batteries.owners.registry import Registry, StoreFailed
from llmproxy.batteries.owners.sqlite_store import SqliteOwners
from llmproxy.batteries.settings import FullSettings
from tests.support.locked_file import being_written
from tests.support.run import bounded
from tests.support.waiting import until

ALICE = Owner("account-1", "m", "a", "alice")
BOB = Owner("account-2", "m", "b", None)
KEEP_S = 1000


class FakeStore:
    """A store in memory. `fails`: whether it does now."""

    def __init__(self):
        self.values = {}
        self.fails = False
        self.reads = []
        self.closed = False

    async def read(self, ids):
        self.reads.append(list(ids))
        self._check()
        return {id_: self.values[id_] for id_ in ids if id_ in self.values}

    async def write(self, values):
        self._check()
        self.values = {**values, **self.values}

    async def close(self):
        self.closed = True

    def _check(self):
        if self.fails:
            raise StoreFailed("the disk is full.")


@contextlib.asynccontextmanager
async def writing(store, **options):
    registry = Registry({}, store, **options)
    async with background(registry.keep_writing):
        yield registry


@bounded()
async def test_what_is_noted_is_known_at_once_and_keeps_its_owner():
    registry = Registry({})
    registry.note(["file-1", "file-2"], ALICE)
    registry.note(["file-1", "file-3"], BOB)
    found = await registry.find(["file-3", "file-1", "file-9"])
    assert found == {"file-1": ALICE, "file-3": BOB}


@bounded()
async def test_another_instance_finds_it_in_the_store():
    store = FakeStore()
    async with writing(store) as one:
        one.note(["file-1"], ALICE)
        await until(lambda: store.values)
    other = Registry({}, store)
    assert await other.find(["file-1", "file-2"]) == {"file-1": ALICE}
    assert store.reads == [["file-1", "file-2"]]
    assert await other.find(["file-1", "file-2"]) == {"file-1": ALICE}
    assert len(store.reads) == 1, "what is not there is not looked up again at once"


@bounded()
async def test_what_another_instance_has_just_noted_is_waited_for_where_it_must_be_certain():
    store = FakeStore()
    async with writing(store, shared=True) as one:
        other = Registry({}, store, shared=True)
        finding = asyncio.ensure_future(other.find(["file-1"], certain=True))
        await until(lambda: store.reads)
        one.note(["file-1"], ALICE)
        assert await finding == {"file-1": ALICE}


@bounded()
async def test_a_store_that_fails_costs_one_warning_and_no_call(caplog):
    store = FakeStore()
    store.fails = True
    async with writing(store) as registry:
        registry.note(["file-1"], ALICE)
        await until(lambda: caplog.messages)
        for number in range(5):
            assert await registry.find(["file-1", f"file-x{number}"]) == {"file-1": ALICE}
        assert len(caplog.messages) == 1
        assert "in memory only: the disk is full." in caplog.messages[0]
        assert store.reads == []


@bounded()
async def test_what_was_not_written_yet_is_written_at_the_end():
    store = FakeStore()
    registry = Registry({}, store)
    registry.note([f"file-{number}" for number in range(2000)], ALICE)
    await registry.close()
    assert (len(store.values), store.closed) == (2000, True)


@bounded()
async def test_a_store_that_works_again_is_read_and_gets_what_it_missed(caplog):
    store = FakeStore()
    store.fails = True
    async with writing(store, pause_s=0.01) as registry:
        assert await registry.find(["file-1"]) == {}
        registry.note(["file-2"], ALICE)
        await asyncio.sleep(0.05)
        assert len(caplog.messages) == 1
        store.fails = False
        await until(lambda: "file-2" in store.values)
        store.values["file-3"] = store.values["file-2"]
        assert await registry.find(["file-3"]) == {"file-3": ALICE}


# ---- the file


@bounded()
async def test_the_file_keeps_owners_over_restarts_and_is_made_only_when_needed(tmp_path):
    path = tmp_path / "new" / "folder" / "state.sqlite"
    store = SqliteOwners(path, keep_s=KEEP_S)
    assert await store.read(["file-1"]) == {}
    assert not path.parent.exists()
    await store.write({"file-1": b"one"})
    await store.write({"file-1": b"other", "file-2": b"two"})
    await store.close()
    assert path.parent.stat().st_mode & 0o777 == 0o700
    again = SqliteOwners(path, keep_s=KEEP_S)
    asked = [f"file-{number}" for number in range(1200)]
    assert await again.read(asked) == {"file-1": b"one", "file-2": b"two"}
    await again.close()


@bounded()
async def test_two_processes_share_the_file(tmp_path):
    one, other = (SqliteOwners(tmp_path / "state.sqlite", keep_s=KEEP_S) for _ in range(2))
    await asyncio.gather(
        *(
            store.write({f"{name}-{number}": b"x"})
            for number in range(20)
            for name, store in (("one", one), ("other", other))
        )
    )
    assert len(await other.read([f"one-{number}" for number in range(20)])) == 20
    await one.close()
    await other.close()


@bounded()
async def test_a_new_file_that_another_process_is_writing_is_waited_for(tmp_path):
    path = tmp_path / "state.sqlite"
    store = SqliteOwners(path, keep_s=KEEP_S)
    with being_written(path):
        writing = asyncio.ensure_future(store.write({"file-1": b"x"}))
        await asyncio.sleep(0.1)
        assert not writing.done()
    await writing
    await store.close()


@bounded()
async def test_what_is_too_old_is_forgotten(tmp_path):
    now = [1_000_000.0]
    store = SqliteOwners(tmp_path / "state.sqlite", keep_s=KEEP_S, clock=lambda: now[0])
    await store.write({"file-1": b"old"})
    now[0] += KEEP_S + 1
    await store.write({"file-2": b"new"})
    assert set(await store.read(["file-1", "file-2"])) == {"file-2"}
    await store.close()


@pytest.mark.parametrize("damage", ["folder", "garbage"])
@bounded()
async def test_a_file_that_cannot_be_used_is_named_with_the_remedy(tmp_path, damage):
    path = tmp_path / "state.sqlite"
    if damage == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"no database at all, but long enough to be one" * 100)
    store = SqliteOwners(path, keep_s=KEEP_S)
    with pytest.raises(StoreFailed) as caught:
        await store.write({"file-1": b"x"})
    assert str(path) in str(caught.value)
    assert "state_file" in str(caught.value)
    await store.close()


HOMES = {"STATE_DIRECTORY": "/s:/t", "XDG_STATE_HOME": "/x", "HOME": "/h"}


@pytest.mark.parametrize(
    ("setting", "names", "place"),
    [
        (None, HOMES, "/s/state.sqlite"),
        (None, ("XDG_STATE_HOME", "HOME"), "/x/llmproxy/state.sqlite"),
        (None, ("HOME",), "/h/.local/state/llmproxy/state.sqlite"),
        (None, (), None),
        ("/y/z", HOMES, "/y/z"),
        ("off", HOMES, None),
    ],
)
def test_the_file_is_where_the_machine_keeps_state(setting, names, place):
    settings = FullSettings(state_file=setting)
    found = place_of_file(settings, {name: HOMES[name] for name in names})
    assert found == (None if place is None else Path(place))


def test_a_full_memory_forgets_the_oldest_and_takes_new_ones_as_fast_as_before():
    memory, known = {}, 250_000
    registry = Registry(memory)
    began = process_time()
    for number in range(known):
        registry.note([f"file-{number:06d}"], ALICE)
    assert process_time() - began < 5  # a second; it took minutes
    assert len(memory) <= 200_000
    found = registry.known(["file-000000", f"file-{known - 100_000}", f"file-{known - 1}"])
    assert list(found) == [f"file-{known - 100_000}", f"file-{known - 1}"]
