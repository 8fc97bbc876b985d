"""`make` takes the best Python that it finds: tools/choose_python.sh and tools/venv.sh."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parent.parent.parent / "tools"
OPTIMISED = "--enable-optimizations --with-lto"
# Plays a Python of another version and build: it runs scripts, and "makes" a venv.
STAND_IN = """
import runpy, sys, sysconfig
from pathlib import Path

version, options, *arguments = sys.argv[1:]
options, without_venv, _ = options.partition(" without-venv")
sysconfig.get_config_vars().update(CONFIG_ARGS=options, PGO_PROF_USE_FLAG="-fprofile-use")
sys.version_info = tuple(map(int, version.split(".")))
if without_venv:
    sys.modules["ensurepip"] = None
match arguments:
    case ["-I", script]:
        runpy.run_path(script, run_name="__main__")
    case ["-c", code]:
        exec(code)
    case ["-m", "venv", folder]:
        Path(folder).write_text(version)
"""


def python(folder, name, version, options=""):
    """Put a Python into a folder."""
    folder.mkdir(exist_ok=True)
    (stand_in := folder / "stand_in.py").write_text(STAND_IN)
    file = folder / name
    words = f"{sys.executable} '{stand_in}' {version} '{options}'"
    file.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    file.chmod(0o755)
    return str(file)


def chosen(*folders):
    """Return the path that is chosen from folders, and why."""
    done = subprocess.run(
        ["sh", TOOLS / "choose_python.sh", *folders], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return tuple(done.stdout.rstrip("\n").split("\t"))


def test_an_optimised_python_is_taken_before_a_newer_one(tmp_path):
    python(tmp_path / "a", "python3.13", "3.13.0")
    best = python(tmp_path / "b", "python3", "3.11.2", OPTIMISED)

    path, why = chosen(tmp_path / "a", tmp_path / "b")

    assert (path, why) == (best, "Python 3.11.2, built with PGO and LTO, the best of 2 found")


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        (("3.11.9", OPTIMISED), ("3.12.1", OPTIMISED)),
        (("3.12.9", OPTIMISED), ("3.12.10", OPTIMISED)),
        (("3.13.1", ""), ("3.13.1", "--with-lto")),
        (("3.13.1", "--with-lto"), ("3.11.1", "--enable-optimizations")),
        (("3.13.1", "--enable-optimizations"), ("3.11.1", OPTIMISED)),
        (("3.15.0", OPTIMISED), ("3.11.1", "")),
        (("3.13.1", OPTIMISED + " without-venv"), ("3.11.1", "")),
        (("3.10.9", OPTIMISED), ("3.11.1", "")),
    ],
)
def test_the_better_of_two(tmp_path, worse, better):
    python(tmp_path / "a", "python3", *worse)
    best = python(tmp_path / "b", "python3", *better)

    assert chosen(tmp_path / "a", tmp_path / "b")[0] == best
    assert chosen(tmp_path / "b", tmp_path / "a")[0] == best


def test_of_equals_the_first_of_the_path_is_taken(tmp_path):
    first = python(tmp_path / "my own", "python3.12", "3.12.1", OPTIMISED)
    python(tmp_path / "a", "python3.12", "3.12.1", OPTIMISED)

    assert chosen(tmp_path / "my own", tmp_path / "a")[0] == first


def test_the_only_one_is_taken_however_it_was_built(tmp_path):
    only = python(tmp_path / "a", "python3", "3.11.7", " without-venv")

    path, why = chosen(tmp_path / "a")

    assert (path, why) == (
        only,
        "Python 3.11.7, built without PGO and LTO, without its venv module",
    )


def test_what_does_not_run_is_no_python(tmp_path):
    python(tmp_path / "a", "python3", "3.10.4", OPTIMISED)
    shim = tmp_path / "a" / "python3.12"
    shim.write_text("#!/bin/sh\necho 'python3.12: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)

    assert chosen(tmp_path / "a", tmp_path / "missing") == ("",)


def test_make_takes_the_best_of_path_and_says_so(tmp_path):
    best = python(tmp_path / "a", "python3.14", "3.14.99", OPTIMISED)

    said = made(tmp_path)

    assert (tmp_path / ".venv").read_text() == "3.14.99"
    assert said.stdout.startswith(
        f"Making .venv with {best}: Python 3.14.99, built with PGO and LTO, the best of "
    )
    assert said.stdout.endswith("; make PYTHON=... takes another ...\n")


def test_make_takes_the_python_that_was_asked_for(tmp_path):
    python(tmp_path / "a", "python3.14", "3.14.99", OPTIMISED)
    asked = python(tmp_path / "b", "python3", "3.11.1")

    said = made(tmp_path, asked)

    assert (tmp_path / ".venv").read_text() == "3.11.1"
    assert said.stdout == f"Making .venv with {asked} ...\n"


def made(folder, *arguments):
    """Let venv.sh make a venv in a folder, with the Pythons of its folder `a` on PATH."""
    environ = {**os.environ, "PATH": f"{folder / 'a'}:{os.environ['PATH']}"}
    return subprocess.run(
        ["sh", TOOLS / "venv.sh", *arguments],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
