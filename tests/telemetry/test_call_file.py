"""The call file finds calls by their ids, and its failures affect no call."""

import asyncio
import sqlite3
import stat
from contextlib import contextmanager

import pytest

from llmproxy.batteries.telemetry.call_file import CallFile
from llmproxy.steps import Attempt, AttemptOutcome, FellBack, PassedOver, Verdict
from tests.support.finished import answered_call
from tests.support.locked_file import being_written
from tests.support.run import bounded
from tests.support.waiting import until

DAY = 86400.0
STEPS = [
    PassedOver("e0", 1.0, "breaker open"),
    Attempt("e1", 1.0, 0.2, AttemptOutcome.FAILED, 500, "server_error", Verdict.NEXT_ENDPOINT),
    FellBack("other", 1.3),
]


@contextmanager
def call_file(path, **options):
    file = CallFile(path, **{"keep_s": DAY, **options})
    try:
        yield file
    finally:
        file.close()


async def written(*files):
    """Wait until each file has the calls that are finished so far."""
    for file in files:
        await until(lambda: not file._pending)  # noqa: B023
        await file.find("whatever")  # it is looked for after what was being written


@bounded()
async def test_a_call_is_found_by_our_id_and_by_the_endpoints_id_even_after_a_restart(tmp_path):
    call = answered_call(id="req_1", request_id=b"vendor-7", steps=STEPS)
    with call_file(tmp_path / "calls.db") as file:
        file.call_finished(call)
        file.call_finished(answered_call(id="req_2"))
        await written(file)
        assert await file.find("req_1") == call
        assert await file.find("vendor-7") == call
        assert await file.find("req_3") is None
    with call_file(tmp_path / "calls.db") as file:
        assert await file.find("req_1") == call
    assert stat.S_IMODE((tmp_path / "calls.db").stat().st_mode) == 0o600


@bounded()
async def test_a_new_file_that_another_worker_is_writing_is_waited_for(tmp_path):
    path = tmp_path / "calls.db"
    with being_written(path):
        opening = asyncio.ensure_future(asyncio.to_thread(CallFile, path, keep_s=DAY))
        await asyncio.sleep(0.1)
        assert not opening.done()
    (await opening).close()


@bounded()
async def test_closing_writes_the_last_calls(tmp_path):
    with call_file(tmp_path / "calls.db") as file:
        file.call_finished(answered_call(id="req_last"))
    with call_file(tmp_path / "calls.db") as file:
        assert (await file.find("req_last")).record.request.id == "req_last"


@bounded()
async def test_old_calls_are_deleted(tmp_path):
    with call_file(tmp_path / "calls.db", keep_s=100) as file:
        file.call_finished(answered_call(id="old", ended_at=1000.0))
        file.call_finished(answered_call(id="new", ended_at=1101.0))
        await written(file)
        assert await file.find("old") is None
        assert (await file.find("new")).record.request.id == "new"


@bounded()
async def test_two_workers_write_to_one_file(tmp_path):
    path = tmp_path / "calls.db"
    with call_file(path) as one, call_file(path) as other:
        for number in range(200):
            one.call_finished(answered_call(id=f"one_{number}"))
            other.call_finished(answered_call(id=f"other_{number}"))
        await written(one, other)
        for number in range(0, 200, 20):
            assert await other.find(f"one_{number}") is not None
            assert await one.find(f"other_{number}") is not None


@bounded()
async def test_moving_the_file_away_starts_a_new_one(tmp_path):
    path = tmp_path / "calls.db"
    with call_file(path) as file:
        file.call_finished(answered_call(id="before"))
        await written(file)
        path.rename(tmp_path / "old.db")
        file.call_finished(answered_call(id="after"))
        await written(file)
        assert await file.find("before") is None
        assert await file.find("after") is not None


@bounded()
async def test_a_file_that_cannot_be_written_is_logged_once_and_used_again_later(tmp_path, caplog):
    folder = tmp_path / "folder"
    folder.mkdir()
    with call_file(folder / "calls.db") as file:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        for number in range(2):
            file.call_finished(answered_call(id=f"req_{number}"))
            await written(file)
            assert await file.find(f"req_{number}") is None
        assert caplog.text.count("cannot be written") == 1
        folder.mkdir()
        file.call_finished(answered_call(id="back"))
        await written(file)
        assert await file.find("back") is not None


@pytest.mark.parametrize("what", ["no folder", "a folder", "another file"])
def test_an_unusable_path_is_refused_with_the_remedy(tmp_path, what):
    path = tmp_path / "calls.db"
    if what == "no folder":
        path = tmp_path / "nowhere" / "calls.db"
    elif what == "a folder":
        path.mkdir()
    else:
        path.write_bytes(b"something that is no database, and longer than its head" * 50)
    with pytest.raises(OSError, match=r"cannot be used: .* or a new one, in a folder"):
        CallFile(path, keep_s=DAY)


@bounded()
async def test_a_call_written_by_another_version_is_not_found_and_raises_no_error(tmp_path):
    path = tmp_path / "calls.db"
    with call_file(path) as file:
        connection = sqlite3.connect(path)
        with connection:
            connection.execute("INSERT INTO calls VALUES ('req_1', NULL, 1.0, x'c0')")
        connection.close()
        assert await file.find("req_1") is None


@bounded()
async def test_a_damaged_file_is_set_aside_and_a_new_one_is_begun(tmp_path, caplog):
    path = tmp_path / "calls.db"
    with call_file(path) as file:
        file.call_finished(answered_call(id="req_old"))
    path.write_bytes(path.read_bytes()[:5000])  # as a loss of power may leave it

    with call_file(path) as file:
        file.call_finished(answered_call(id="req_new"))
        await written(file)
        assert await file.find("req_new") is not None

    assert [aside.name for aside in tmp_path.glob("calls.db.damaged-*") if aside.suffix]
    assert "is damaged" in caplog.text


@bounded()
async def test_a_full_file_keeps_the_newest_calls_and_counts_the_others(tmp_path):
    path = tmp_path / "calls.db"
    with call_file(path, max_bytes=1024 * 1024) as file:
        for part in range(12):
            for number in range(500):
                id = f"req_{part}_{number}"
                file.call_finished(answered_call(id=id, steps=STEPS, ended_at=1000.0 + part))
            await asyncio.get_running_loop().run_in_executor(None, file._write, file._take())
        assert await file.find("req_0_0") is None
        assert await file.find("req_11_499") is not None
        assert file.lost > 0
        with sqlite3.connect(path) as connection:
            (kept,) = connection.execute("SELECT count(*) FROM calls").fetchone()
        connection.close()
        assert kept + file.lost == 12 * 500
    assert path.stat().st_size < 3 * 1024 * 1024


@bounded()
async def test_calls_that_cannot_be_written_are_counted(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with call_file(folder / "calls.db") as file:
        for end in ("", "-wal", "-shm"):
            (folder / f"calls.db{end}").unlink(missing_ok=True)
        folder.rmdir()
        for number in range(3):
            file.call_finished(answered_call(id=f"req_{number}"))
        await written(file)
        assert file.lost == 3
