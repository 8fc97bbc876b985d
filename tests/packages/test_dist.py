"""`make dist`: what is built is the commit, the same each time, and complete."""

import hashlib
import os
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def git(*arguments, cwd):
    return subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True, text=True)


def built(clone, *, umask, zone, epoch):
    """Build the archives of a clone as somebody else would; return them by name."""
    folder = clone.parent / f"{clone.name}-out"
    environ = {**os.environ, "TZ": zone, "SOURCE_DATE_EPOCH": epoch}
    command = [sys.executable, "tools/dist.py", "--archives", str(folder)]
    subprocess.run(command, cwd=clone, env=environ, umask=umask, check=True)
    return {file.name: file for file in folder.iterdir()}


@pytest.fixture(scope="module")
def clones(tmp_path_factory):
    """Two clones in different folders, one of them with files that are not of the commit."""
    places = [tmp_path_factory.mktemp("one") / "a", tmp_path_factory.mktemp("two") / "another"]
    for place in places:
        git("clone", "-q", str(ROOT), str(place), cwd=ROOT)
    (places[1] / "llmproxy" / "left_over.py").write_text("raise SystemExit\n")
    (places[1] / "llmproxy/__init__.py").write_text('__version__ = "9.9.9"\n')
    return places


@pytest.fixture(scope="module")
def archives(clones):
    return built(clones[0], umask=0o022, zone="UTC", epoch="1")


@pytest.fixture(scope="module")
def wheel(archives):
    with zipfile.ZipFile(next(f for n, f in archives.items() if n.endswith(".whl"))) as opened:
        yield opened


def test_two_builds_of_a_commit_have_the_same_bytes(clones, archives):
    again = built(clones[1], umask=0o077, zone="Asia/Tokyo", epoch="2000000000")
    digests = [
        {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in found.items()}
        for found in (archives, again)
    ]
    assert len(digests[0]) == 2
    assert digests[0] == digests[1]


def test_files_have_the_time_of_the_commit(clones, wheel):
    committed = git("log", "-1", "--format=%cd", "--date=format:%Y-%m-%d", cwd=clones[0]).stdout
    dates = {"{:04}-{:02}-{:02}".format(*info.date_time) for info in wheel.infolist()}
    assert dates == {committed.strip()}


def test_the_wheel_has_all_of_the_package_and_nothing_else(clones, wheel):
    tracked = set(git("ls-files", "llmproxy", cwd=clones[0]).stdout.split())
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert {"llmproxy/py.typed", "llmproxy/batteries/admin/dashboard/page.html"} <= packed
    assert packed == tracked


def test_the_source_archive_has_what_a_builder_needs_and_nothing_else(archives):
    name = next(name for name in archives if name.endswith(".tar.gz"))
    with tarfile.open(archives[name]) as opened:
        parts = [Path(member.name).parts for member in opened.getmembers()]
    assert {part[0] for part in parts} == {name.removesuffix(".tar.gz")}
    assert {part[1] for part in parts} == {
        *("llmproxy", "requirements", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"),
        *("llmproxy.example.yaml", ".gitignore", "PKG-INFO"),
    }


def test_the_metadata_say_what_it_is_and_where_it_runs(wheel):
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    said = message_from_bytes(wheel.read(name))
    assert said["Name"] == "llmproxy-gateway"
    assert said["Requires-Python"] == ">=3.11"
    assert (said["License-Expression"], said["License-File"]) == ("Apache-2.0", "LICENSE")
    assert said["Summary"]
    assert said["Description-Content-Type"] == "text/markdown"
    assert {line for line in said.get_all("Classifier") if "Python :: 3." in line} == {
        f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13, 14)
    }
    assert set(said.get_all("Provides-Extra")) == {
        *("bedrock", "embedded", "entra", "jwt", "postgres", "prices", "tracing", "vertex")
    }
    assert b"llmproxy = llmproxy.cli:main" in wheel.read(
        name.replace("METADATA", "entry_points.txt")
    )
