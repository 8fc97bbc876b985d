"""Every kind of change to the config file is noticed."""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from llmproxy.batteries.reload.triggers import changes_of
from tests.support.run import bounded
from tests.support.waiting import until

LOOK_S = 0.02
SETTLED_S = 0.2


@asynccontextmanager
async def watched(path):
    """Yield a list: the text of the file each time that it may have changed, without repeats."""
    seen = []

    async def look():
        async for _ in changes_of(path, look_s=LOOK_S):
            text = path.read_text() if path.exists() else None
            if seen[-1:] != [text]:
                seen.append(text)

    task = asyncio.create_task(look())
    await until(lambda: seen)
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def says(seen, text):
    await until(lambda: seen[-1] == text)


def write(path):
    path.write_text("new")


def write_in_pieces(path):
    with path.open("w") as file:
        for letter in "new":
            file.write(letter)
            file.flush()


def replace_as_editors_do(path):
    """Replace the file as vim does: the old one becomes a backup, then the new one is written."""
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
async def test_every_way_to_change_a_file_is_noticed(tmp_path, change):
    path = tmp_path / "file.yaml"
    path.write_text("old")
    async with watched(path) as seen:
        assert seen == ["old"]
        for _ in range(2):
            change(path)
            await says(seen, "new")
            path.write_text("old")
            await says(seen, "old")


@bounded()
async def test_a_program_that_writes_in_pieces_may_finish_first(tmp_path):
    path = tmp_path / "file.yaml"
    path.write_text("old")
    async with watched(path) as seen:
        path.write_text("half")
        await asyncio.sleep(0.05)
        path.write_text("new")
        await says(seen, "new")
        assert seen == ["old", "new"]


@bounded()
async def test_kubernetes_swaps_the_folder_of_a_config_map(tmp_path):
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
async def test_a_link_is_followed_to_its_target(tmp_path):
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
async def test_the_folder_of_the_file_comes_back(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "file.yaml"
    path.write_text("old")
    async with watched(path) as seen:
        path.unlink()
        folder.rmdir()
        await asyncio.sleep(SETTLED_S)
        folder.mkdir()
        path.write_text("new")
        await says(seen, "new")


@bounded()
async def test_changes_of_neighbouring_files_are_ignored(tmp_path):
    path = tmp_path / "file.yaml"
    path.write_text("old")
    async with watched(path) as seen:
        for number in range(5):
            (tmp_path / "access.log").write_text(str(number))
            await asyncio.sleep(0.1)
        await asyncio.sleep(SETTLED_S)
        assert seen == ["old"]


@bounded()
async def test_links_in_a_circle_are_no_file(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    changes = changes_of(tmp_path / "a", look_s=LOOK_S)
    await anext(changes)
    (tmp_path / "b").unlink()
    (tmp_path / "b").write_text("new")
    await anext(changes)
    assert (tmp_path / "a").read_text() == "new"
    await changes.aclose()


@bounded()
async def test_a_change_during_the_reaction_to_one_is_not_missed(tmp_path):
    path = tmp_path / "file.yaml"
    path.write_text("old")
    seen = []
    async for _ in changes_of(path, look_s=LOOK_S):
        seen.append(path.read_text())
        if seen[-1] == "new":
            break
        path.write_text("new")
    assert seen == ["old", "new"]
