"""Change the rules one place at a time, and print the changes that no test notices.

A mutant is one small change: a comparison turned round, a number doubled, `and` for `or`, a
statement left out, a member left out of a set. The tests of the module run against a copy of the
project with that change. A mutant that survives is a behaviour that no test checks.

First come the mutants of tools/mutants.toml: mistakes that a reader of this project has tried or
would make. Then a random sample; the same seed and the same code make the same sample.

    make mutants ARGS="--count 40 --seed 7 --only 'breaker|retry'"

Only the copy is changed, in a temporary directory: the checkout stays as it is, however this ends.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import tomllib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from itertools import chain, count
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import pytest
from mutations import changes_of, shortened

ROOT = Path(__file__).resolve().parent.parent
RECORDED = ROOT / "tools" / "mutants.toml"
# Where the sample is taken from, and the tests that belong to each folder or file.
TESTS = {
    "llmproxy/rules": ["tests/rules"],
    "llmproxy/routing": ["tests/routing", "tests/strategies"],
    "llmproxy/operations": ["tests/operations"],
    "llmproxy/providers": ["tests/providers"],
    "llmproxy/batteries/fallbacks": ["tests/fallbacks"],
    "llmproxy/batteries/hedging": ["tests/hedging"],
    "llmproxy/batteries/strategies": ["tests/strategies"],
    "llmproxy/batteries/token_estimates": ["tests/token_estimates"],
    "llmproxy/batteries/uploads": ["tests/uploads"],
}
PYTEST = (
    *("-x", "-q", "-m", "not clock", "--hypothesis-seed=1"),
    *("-p", "no:xdist", "-p", "no:rerunfailures"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # plugins are imported before the fork
)
# What identifies a mutant of the sample that is known to be equivalent.
EQUIVALENT_KEYS = ("file", "inside", "line", "change")
FORK = multiprocessing.get_context("fork")
NICENESS = 10
# A mutant that never ends is stopped after this many times as long as the tests usually take.
PATIENCE, LEAST_PATIENCE_S = 4, 20.0


class Mutant(NamedTuple):
    """One change. `text`: the whole file with it. `known`: why no test can notice it, or "".

    `tests`: groups of paths, tried one after the other until a test fails.
    """

    file: str
    line: int
    change: str
    text: str
    tests: tuple[tuple[str, ...], ...]
    known: str = ""


class StaleMutantError(Exception):
    """A recorded mutant no longer fits the code."""


class FailingTestsError(Exception):
    """The tests of a mutant fail without it."""


def recorded(only: str) -> list[Mutant]:
    """Return the mutants of mutants.toml. Raises StaleMutantError if one does not fit the code."""
    found = []
    for entry in tomllib.loads(RECORDED.read_text(encoding="utf-8"))["mutant"]:
        if re.search(only, entry["file"]) is None:
            continue
        path = ROOT / entry["file"]
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        old, new = entry["old"], entry["new"]
        if text.count(old) != 1:
            times = text.count(old)
            raise StaleMutantError(f"{entry['file']}: expected once, found {times} times:\n{old}")
        line = text[: text.index(old)].count("\n") + 1
        tests = (tuple(entry["tests"]),) if "tests" in entry else tests_of(entry["file"])
        change = f"{shortened(old)}  ->  {shortened(new)}"
        known = entry.get("equivalent", "")
        found.append(Mutant(entry["file"], line, change, text.replace(old, new), tests, known))
    return found


def sample(number: int, seed: int, only: str) -> list[Mutant]:
    """Return so many mutants, chosen at random among all possible ones."""
    entries = tomllib.loads(RECORDED.read_text(encoding="utf-8")).get("equivalent", [])
    known = {tuple(entry[key] for key in EQUIVALENT_KEYS): entry["why"] for entry in entries}
    possible = []
    for folder in TESTS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            file = path.relative_to(ROOT).as_posix()
            if re.search(only, file) is None:
                continue
            text = path.read_text(encoding="utf-8")
            possible += [(file, text, change) for change in changes_of(text)]
    chosen = random.Random(seed).sample(possible, min(number, len(possible)))
    return [
        Mutant(
            *(file, change.line, change.words, change.apply(text), tests_of(file)),
            known.get((file, change.inside, change.code, change.words), ""),
        )
        for file, text, change in chosen
    ]


def tests_of(file: str) -> tuple[tuple[str, ...], ...]:
    """Return the tests that belong to a module, the nearest ones first."""
    folder = next(folder for folder in TESTS if file.startswith(folder))
    tests = TESTS[folder]
    name = Path(file).relative_to(folder).with_suffix("").parts[0]
    paths = [path for test in tests for path in sorted((ROOT / test).rglob("test_*.py"))]
    nearest = tuple(str(path.relative_to(ROOT)) for path in paths if _is_near(path, name))
    others = tuple(str(path.relative_to(ROOT)) for path in paths if not _is_near(path, name))
    return tuple(group for group in (nearest, others) if group)


def _is_near(test: Path, module: str) -> bool:
    return test.name.startswith(f"test_{module}")


class Copy:
    """A copy of the project in which the mutants run. `folder`: temporary.

    Tests run in a fork of this process, which has imported all that they need but the project.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "project"
        self._log = folder / "log"
        self._usual_s: dict[tuple[str, ...], float] = {}
        # Python takes a compiled file for current if its source has the same second and size.
        self._second = count(1_000_000_000)
        shutil.copytree(ROOT, self._folder, ignore=_left_out)

    def kills(self, mutant: Mutant) -> bool:
        """Return whether a test fails, or never ends, with the mutant."""
        most_s = LEAST_PATIENCE_S + PATIENCE * self._usual(mutant.tests)
        file = self._folder / mutant.file
        original = file.read_text(encoding="utf-8")
        try:
            self._write(file, mutant.text)
            return any(not self._pass(tests, most_s) for tests in mutant.tests)
        finally:
            self._write(file, original)

    def _usual(self, groups: tuple[tuple[str, ...], ...]) -> float:
        """Return how long all these tests take without any mutant; they must pass."""
        tests = tuple(sorted(chain.from_iterable(groups)))
        if tests in self._usual_s:
            return self._usual_s[tests]
        print(f"           {len(tests)} files of tests first run without any mutant", flush=True)
        began_at = monotonic()
        if not (self._pass(tests, None) or self._pass(tests, None)):  # twice: the machine is busy
            words = self._log.read_text(encoding="utf-8", errors="replace")
            raise FailingTestsError(f"{words[-3000:]}\nThese fail: {' '.join(tests)}")
        usual_s = self._usual_s[tests] = monotonic() - began_at
        for name in (self._folder / "imported").read_text(encoding="utf-8").split():
            with suppress(Exception), warnings.catch_warnings(action="ignore"):
                import_module(name)
        return usual_s

    def _write(self, file: Path, text: str) -> None:
        file.write_text(text, encoding="utf-8")
        second = next(self._second)
        os.utime(file, (second, second))

    def _pass(self, tests: tuple[str, ...], seconds: float | None) -> bool:
        process = FORK.Process(target=_run_tests, args=(self._folder, self._log, tests))
        process.start()
        try:
            process.join(seconds)
            return process.exitcode == 0
        finally:
            if process.is_alive():
                os.killpg(process.pid, signal.SIGKILL)  # with all that the tests have started
                process.join()


def _run_tests(folder: Path, log: Path, tests: tuple[str, ...]) -> None:
    """Run tests in a fork, and end it."""
    os.setsid()
    os.chdir(folder)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ |= {"HYPOTHESIS_PROFILE": "mutants", "PYTHONPATH": str(folder)}
    sys.path[:0] = [str(folder)]
    status = pytest.main([*PYTEST, *tests])
    (folder / "imported").write_text("\n".join(_modules_of_others()), encoding="utf-8")
    os._exit(status)


def _modules_of_others() -> list[str]:
    """Return what the tests have imported, but for the project itself and pytest's plugins."""
    return [
        name
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] not in ("llmproxy", "tests", "conftest", "__main__")
        and ("site-packages" in (getattr(module, "__file__", None) or ""))
    ]


def _left_out(folder: str, names: list[str]) -> list[str]:
    top = Path(folder) == ROOT
    return [
        name
        for name in names
        if name == "__pycache__" or (top and (name.startswith(".") or name in ("bench", "dist")))
    ]


@contextmanager
def copy_of_project() -> Iterator[Copy]:
    """Make the copy, and remove it even when this program is asked to end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        yield Copy(Path(folder))


def run(mutants: list[Mutant], ends_at: float) -> tuple[list[str], int]:
    """Try mutants and print what becomes of each. Returns those that survive, and how many ran."""
    survivors, ran = [], 0
    with copy_of_project() as project:
        for mutant in mutants:
            words = f"{mutant.file}:{mutant.line}: {mutant.change}"
            if mutant.known:
                print(f"equivalent {words}\n           {mutant.known}", flush=True)
            elif monotonic() < ends_at:
                try:
                    killed = project.kills(mutant)
                except FailingTestsError as error:
                    print(f"NOT TRIED  {words}\n{error}", flush=True)
                    continue
                ran += 1
                print(f"{'killed    ' if killed else 'SURVIVED  '} {words}", flush=True)
                if not killed:
                    survivors.append(words)
    return survivors, ran


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=60, help="size of the sample (default 60)")
    parser.add_argument("--seed", type=int, default=1, help="which sample (default 1)")
    parser.add_argument("--only", default="", help="only files whose path matches this pattern")
    parser.add_argument("--sample-only", action="store_true", help="leave out the recorded ones")
    parser.add_argument("--minutes", type=float, default=30.0, help="at most so long (default 30)")
    options = parser.parse_args()
    os.nice(max(0, NICENESS - os.nice(0)))
    try:
        mutants = [] if options.sample_only else recorded(options.only)
        mutants += sample(options.count, options.seed, options.only)
    except StaleMutantError as error:
        sys.exit(f"tools/mutants.toml does not fit the code. {error}")
    survivors, ran = run(mutants, monotonic() + options.minutes * 60)
    left = sum(not mutant.known for mutant in mutants) - ran
    print(f"\n{len(survivors)} of {ran} mutants survived:", *survivors, sep="\n  ")
    if left:
        print(f"{left} were not tried. The run ends after --minutes {options.minutes:g}.")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
