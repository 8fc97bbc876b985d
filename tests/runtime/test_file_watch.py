"""A file that may say something else is told of, however it came to be another one."""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from llmproxy.runtime.file_watch import changes_of, spots_of
from tests.story.limited import until
from tests.support.run import bounded

SETTLED_S = 0.5  # the quiet after a change, and some


@asynccontextmanager
async def watched(path):
    """A list with what the file said each time somebody was told to look."""
    seen = []

    async def look():
        async for _ in changes_of(path):
            try:
                seen.append(path.read_text())
            except OSError:
                seen.append(None)

    task = asyncio.create_task(look())
    await until(lambda: seen)
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def says(seen, text):
    await until(lambda: seen[-1] == text, within_s=10)


def write(path):
    path.write_text("new")


def write_in_pieces(path):
    with path.open("w") as file:
        for letter in "new":
            file.write(letter)
            file.flush()


def replace_as_editors_do(path):
    """vim: the old one becomes a backup, then the new one is written."""
    path.rename(path.with_name("file.yaml~"))
    path.write_text("new")


def rename_another_onto_it(path):
    other = path.with_name(".file.yaml.swp")
    other.write_text("new")
    other.rename(path)


def remove_and_write(path):
    path.unlink()
    path.write_text("new")


WAYS = [write, write_in_pieces, replace_as_editors_do, rename_another_onto_it, remove_and_write]


@pytest.mark.parametrize("change", WAYS, ids=lambda way: way.__name__)
@bounded()
async def test_each_way_to_change_a_file_is_told_and_more_than_once(tmp_path, change):
    path = tmp_path / "file.yaml"
    path.write_text("old")
    async with watched(path) as seen:
        assert seen == ["old"]
        for _ in range(2):
            change(path)
            await says(seen, "new")
            path.write_text("old")
            await says(seen, "old")


@pytest.mark.clock
@bounded()
async def test_several_changes_in_a_row_are_told_once_when_they_are_over(tmp_path):
    path = tmp_path / "file.yaml"
    path.write_text("old")
    async with watched(path) as seen:
        for number in range(8):
            path.write_text(f"half {number}")
            await asyncio.sleep(0.03)
        path.write_text("new")
        await says(seen, "new")
        await asyncio.sleep(SETTLED_S)
        assert len(seen) <= 3


@bounded()
async def test_a_folder_of_a_config_map_is_swapped_as_kubernetes_does(tmp_path):
    path = config_map(tmp_path, "old")
    async with watched(path) as seen:
        for number, text in enumerate(("new", "newer")):
            swap(tmp_path, f"..2026_{number}", text)
            await says(seen, text)


def config_map(folder, text):
    """A volume as the kubelet makes it: file -> ..data/file, ..data -> a folder with a date."""
    (folder / "file.yaml").symlink_to("..data/file.yaml")
    swap(folder, "..2025", text)
    return folder / "file.yaml"


def swap(folder, name, text):
    before = (folder / "..data").resolve()
    (folder / name).mkdir()
    (folder / name / "file.yaml").write_text(text)
    (folder / "..data_tmp").symlink_to(name)
    (folder / "..data_tmp").rename(folder / "..data")
    if before.name.startswith("..20"):
        (before / "file.yaml").unlink()
        before.rmdir()


@bounded()
async def test_what_a_link_leads_to_is_watched_where_it_is(tmp_path):
    there, here = tmp_path / "there", tmp_path / "here"
    for folder in (there, here):
        folder.mkdir()
    real, path = there / "real.yaml", here / "file.yaml"
    real.write_text("old")
    path.symlink_to(real)
    async with watched(path) as seen:
        real.write_text("new")
        await says(seen, "new")
        other = there / "other.yaml"
        other.write_text("of another")
        path.unlink()
        path.symlink_to(Path("../there/other.yaml"))
        await says(seen, "of another")
        other.write_text("of another, newer")
        await says(seen, "of another, newer")


@bounded()
async def test_a_file_is_told_of_whose_folder_was_gone(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "file.yaml"
    path.write_text("old")
    async with watched(path) as seen:
        path.unlink()
        folder.rmdir()
        await asyncio.sleep(SETTLED_S)  # it is noticed, or not
        folder.mkdir()
        path.write_text("new")
        await says(seen, "new")


@bounded()
async def test_its_neighbours_are_not_told_of(tmp_path):
    path = tmp_path / "file.yaml"
    path.write_text("old")
    async with watched(path) as seen:
        for number in range(5):
            (tmp_path / "access.log").write_text(str(number))
            await asyncio.sleep(0.1)
        await asyncio.sleep(SETTLED_S)
        assert seen == ["old"]


def test_the_spots_are_every_link_on_the_way_and_the_file(tmp_path):
    path = config_map(tmp_path, "text")
    assert spots_of(path) == {
        tmp_path / "file.yaml",
        tmp_path / "..data",
        tmp_path / "..2025" / "file.yaml",
    }


def test_links_that_lead_in_a_circle_have_an_end(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert {tmp_path / "a", tmp_path / "b"} <= spots_of(tmp_path / "a")


@bounded()
async def test_what_happens_while_it_is_looked_at_is_not_missed(tmp_path):
    path = tmp_path / "file.yaml"
    path.write_text("old")
    seen = []
    async with asyncio.timeout(2):
        async for _ in changes_of(path):
            seen.append(path.read_text())
            if len(seen) == 2:
                break
            path.write_text("new")
    assert seen == ["old", "new"]
