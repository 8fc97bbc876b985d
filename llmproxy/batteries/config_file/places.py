"""Where the parts of a YAML text are: lines and columns, both counted in characters from 1."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import yaml

from llmproxy.errors import Problem

BREAK = re.compile(r"\r\n|\r|\n")


class YamlMark(Protocol):
    """PyYAML's and libyaml's marks: line and column, from 0."""

    line: int
    column: int


class SourcePlace(NamedTuple):
    """A line, and the first and last column of what is meant there; (0, 0) = the whole line."""

    line: int
    columns: tuple[int, int] = (0, 0)

    def problem(self, file: str, found: str, remedy: str) -> Problem:
        """Return a problem at this place of a file."""
        return Problem(file, self.line, found, remedy, columns=self.columns)


def place_of(node: yaml.Node, lines: Sequence[str]) -> SourcePlace:
    """Return the place of a node, as far as it is on its first line. A block is pointed at by its
    first key, or by the `-` of its first item."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        if isinstance(node, yaml.MappingNode) and node.value:
            return place_of(node.value[0][0], lines)
        return at(node.start_mark)
    start, end = node.start_mark, node.end_mark
    if end.line == start.line:
        last = end.column
    else:
        last = len(lines[start.line].rstrip()) if start.line < len(lines) else 0
    return SourcePlace(start.line + 1, (start.column + 1, max(last, start.column + 1)))


def at(mark: YamlMark) -> SourcePlace:
    """Return the place of one character."""
    return SourcePlace(mark.line + 1, (mark.column + 1, mark.column + 1))


def place_at(text: str, position: int) -> SourcePlace:
    """Return the place of the character at a position of the text."""
    before = BREAK.split(text[:position])
    return SourcePlace(len(before), (len(before[-1]) + 1,) * 2)
