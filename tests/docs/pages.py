"""The pages of this repository, and what stands in them."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
LINK = re.compile(r"\]\(([^)\s]+)\)")
INLINE = re.compile(r"`([^`\n]+)`")


@dataclass
class Block:
    """A fenced block of code."""

    page: str
    language: str
    text: str

    def __str__(self):
        return f"{self.page}: {self.text.splitlines()[0][:40]}"


@cache
def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def prose_of(name):
    """A page without its blocks of code."""
    return FENCE.sub("", text_of(name))


def blocks(*languages):
    """The blocks of some languages, or all."""
    return [
        Block(name, language, text)
        for name in NAMES
        for language, text in FENCE.findall(text_of(name))
        if not languages or language in languages
    ]


def links_of(name):
    return LINK.findall(prose_of(name))


def inline_code_of(name):
    return INLINE.findall(prose_of(name))


def anchors_of(name):
    """The anchors that a page's headings get when it is rendered."""
    headings = re.findall(r"^#+ (.+)$", prose_of(name), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def table_under(name, heading):
    """The rows of the first table behind a heading or a bold word, as lists of cells."""
    after = prose_of(name).split(heading, 1)[1]
    table = re.search(r"^\|.*?(?=^[^|]|\Z)", after, re.M | re.S)[0]
    rows = [line.strip("|").split("|") for line in table.strip().splitlines()]
    return [[cell.strip() for cell in row] for row in rows[2:]]
