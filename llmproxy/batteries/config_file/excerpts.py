"""Problems for a terminal: each with its line of the file, and a caret under the place.

    llmproxy.yaml:5: model_groups[0].models[0]: unknown key 'wieght'. Did you mean weight?
    5 |         wieght: 2
      |         ^^^^^^

Secrets are shown as `***`. A file that cannot be read again is left out: only the message remains.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from llmproxy.batteries.config_file.hiding import Hidden, hidden_parts
from llmproxy.batteries.config_file.places import BREAK
from llmproxy.errors import Problem

TAB = "    "
MASK = "***"
WIDTH = 100  # of what is shown of a line
BEFORE = 60  # of it, at most, in front of the caret
BOLD, RED, BLUE, PLAIN = "\033[1m", "\033[1;31m", "\033[1;34m", "\033[0m"


def with_excerpts(problems: Iterable[Problem], *, colour: bool) -> str:
    """Return problems as text for a terminal. The files that they name are read again."""
    sources: dict[str, Source | None] = {}
    blocks = []
    for problem in problems:
        if problem.file not in sources:
            sources[problem.file] = _read(problem.file)
        blocks.append(_block(problem, sources[problem.file], colour=colour))
    return "\n".join(blocks)


class Source:
    """The text of a config, of which no secret is shown."""

    def __init__(self, text: str) -> None:
        self._lines = BREAK.split(text)
        self._hidden: dict[int, list[Hidden]] = {}
        for part in hidden_parts(text):
            self._hidden.setdefault(part[0], []).append(part)

    def excerpt(self, line: int, columns: tuple[int, int]) -> tuple[str, str] | None:
        """Return a line as it may be shown, and the line of carets below it; None if it has not
        as many lines, or nothing to show."""
        if not 1 <= line <= len(self._lines) or columns[0] < 1:
            return None
        text, marks = _masked(
            self._lines[line - 1], self._hidden.get(line - 1, ()), range(columns[0] - 1, columns[1])
        )
        cells = [(_shown(char), marked) for char, marked in zip(text, marks, strict=True)]
        while cells and cells[-1][0].isspace() and not cells[-1][1]:
            cells.pop()
        return _clipped(cells) if any(marked for _, marked in cells) else None


def _read(file: str) -> Source | None:
    try:
        return Source(Path(file).read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError):  # bytes that are not UTF-8, a NUL in the path
        return None


def _block(problem: Problem, source: Source | None, *, colour: bool) -> str:
    found = None if source is None else source.excerpt(problem.line, problem.columns)
    place = f"{problem.file}:{problem.line}:" if problem.line else f"{problem.file}:"
    if not colour:
        head = str(problem)
    else:
        head = f"{BOLD}{place}{PLAIN} {BOLD}{problem.found}{PLAIN} {problem.remedy}"
    if found is None:
        return head
    text, carets = found
    number = str(problem.line)
    bar, margin = "|", " " * len(number)
    if colour:
        bar, number, carets = f"{BLUE}|{PLAIN}", f"{BLUE}{number}{PLAIN}", f"{RED}{carets}{PLAIN}"
    return f"{head}\n  {number} {bar} {text}\n  {margin} {bar} {carets}"


def _masked(text: str, hidden: Sequence[Hidden], marked: range) -> tuple[str, list[bool]]:
    """Return a line with `***` for what is hidden, and which of its characters are marked. A mark
    behind the end of the line gets a space there."""
    text += " " * (marked.start + 1 - len(text))
    shown, marks = "", []
    at = 0
    for _, begin, last in sorted(hidden):
        first = max(begin, at)
        if first >= last:
            continue
        shown += text[at:first]
        marks += [place in marked for place in range(at, first)]
        is_comment = text[first] == "#" and last >= len(text.rstrip())
        mask = "" if is_comment else MASK
        shown += mask
        marks += [max(first, marked.start) < min(last, marked.stop)] * len(mask)
        at = last
    shown += text[at:]
    marks += [place in marked for place in range(at, len(text))]
    return shown, marks


def _shown(char: str) -> str:
    """Return a character as a terminal may get it: no control characters."""
    if char == "\t":
        return TAB
    return "?" if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn") else char


def _clipped(cells: list[tuple[str, bool]]) -> tuple[str, str]:
    """Return a line and its carets, cut where they are far to the right."""
    first = next(place for place, (_, marked) in enumerate(cells) if marked)
    begin = max(0, first - BEFORE) if len(cells) > WIDTH else 0
    shown = cells[begin : begin + WIDTH]
    if begin:
        shown = [("…", False), *shown]
    if begin + WIDTH < len(cells):
        shown = [*shown, ("…", False)]
    text = "".join(char for char, _ in shown)
    carets = "".join(("^" if marked else " ") * _width(char) for char, marked in shown)
    return text.rstrip(), carets.rstrip()


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )
