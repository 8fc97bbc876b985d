"""Change the rules one line at a time, and print the changes that no test notices.

A mutant is one change in one place of a pure module: a comparison turned round, a number changed,
`and` for `or`, a condition negated, a member left out of a set. The tests beside the module run
against a copy with that change. A mutant that survives is a behaviour that no test pins.

`make mutants ARGS="--count 40 --seed 7 --only breaker"`. The same seed makes the same mutants.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The pure modules, and the tests that pin each folder.
TESTS = {
    "llmproxy/rules": ["tests/rules"],
    "llmproxy/routing": ["tests/routing", "tests/rules/test_routing.py"],
    "llmproxy/operations": ["tests/operations", "tests/rules"],
    "llmproxy/providers": ["tests/providers"],
    "llmproxy/shared_state/quota": ["tests/shared_state"],
    "llmproxy/cache/keys.py": ["tests/cache"],
}
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
SECONDS_A_MUTANT = 300


def places(tree: ast.Module) -> list[ast.AST]:
    """Return the nodes that can be changed, in the order of the text."""
    found = []
    for node in ast.walk(tree):
        if (
            (isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS)
            or isinstance(node, ast.BoolOp | ast.If)
            or (isinstance(node, ast.Constant) and type(node.value) in (int, float))
            or (isinstance(node, ast.Set) and len(node.elts) > 1)
        ):
            found.append(node)
    return sorted(found, key=lambda node: (node.lineno, node.col_offset))


def change(node: ast.AST) -> None:
    """Change a node in place."""
    match node:
        case ast.Compare():
            node.ops[0] = COMPARISONS[type(node.ops[0])]()
        case ast.BoolOp():
            node.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
        case ast.If():
            node.test = ast.UnaryOp(ast.Not(), node.test)
        case ast.Set():
            del node.elts[0]
        case ast.Constant(value=int() | float() as value):
            node.value = value * 2 if value else 1


def mutants(only: str) -> Iterator[tuple[Path, int]]:
    """Yield (file, index of the place) for every possible mutant."""
    for folder in TESTS:
        path = ROOT / folder
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            name = file.relative_to(ROOT)
            if only in str(name):
                count = len(places(ast.parse(file.read_text(encoding="utf-8"))))
                yield from ((name, index) for index in range(count))


def mutate(copy_of_root: Path, name: Path, index: int) -> str:
    """Write a mutant into a copy of the project; return what was changed."""
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    node = places(tree)[index]
    before = ast.unparse(copy.deepcopy(node)).split("\n")[0]
    change(node)
    after = ast.unparse(node).split("\n")[0]
    (copy_of_root / name).write_text(ast.unparse(tree), encoding="utf-8")
    return f"{name}:{node.lineno}: {before}  ->  {after}"


def tests_of(name: Path) -> list[str]:
    """Return the test folders of a module that exist."""
    folder = next(key for key in TESTS if str(name).startswith(key))
    return [test for test in TESTS[folder] if (ROOT / test).exists()]


def is_noticed(copy_of_root: Path, tests: list[str]) -> bool:
    """Return whether a test fails, or never ends."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not clock", *tests]
    environ = os.environ | {"PYTHONPATH": str(copy_of_root)}
    try:
        done = subprocess.run(
            command,
            cwd=copy_of_root,
            env=environ,
            capture_output=True,
            timeout=SECONDS_A_MUTANT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=77, help="how many mutants (default 77)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (default 1)")
    parser.add_argument("--only", default="", help="only files whose path contains this")
    options = parser.parse_args()
    chosen = sorted(mutants(options.only))
    if len(chosen) > options.count:
        chosen = random.Random(options.seed).sample(chosen, options.count)
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder)
        for name in ("llmproxy", "tests", "docs", "pyproject.toml"):
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copied / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copied / name)
        for number, (name, index) in enumerate(chosen, 1):
            changed = mutate(copied, name, index)
            noticed = is_noticed(copied, tests_of(name))
            shutil.copy(ROOT / name, copied / name)
            print(
                f"{number}/{len(chosen)} {'killed  ' if noticed else 'SURVIVED'} {changed}",
                flush=True,
            )
            if not noticed:
                survivors.append(changed)
    print(f"\n{len(survivors)} of {len(chosen)} mutants survived:", *survivors, sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
