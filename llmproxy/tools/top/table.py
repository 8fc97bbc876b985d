"""A table in a given width: columns that do not fit are left out; no line wraps. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

HEAD = "reverse"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    `order`: a narrow table leaves out the highest first, and never one with 0. `short`: the title
    where room is scarce. `least`: it may be cut to this width; without it, it is whole or left out.
    `steady`: it is so wide at least, or columns would come and go with what stands in them.
    `extra`: it is there only where the others are whole. `names`: cut in the middle, for names that
    begin alike often end differently.
    """

    title: str
    cells: Sequence[Text]
    order: int = 0
    short: str | None = None
    least: int | None = None
    steady: int = 0
    right: bool = False
    extra: bool = False
    names: bool = False

    def width(self, *, scarce: bool) -> int:
        """The width that shows every cell in full."""
        title = self.short if scarce and self.short is not None else self.title
        return max(self.steady, cell_len(title), *(cell.cell_len for cell in self.cells))

    def narrowest(self, *, scarce: bool) -> int:
        """The least width."""
        whole = self.width(scarce=scarce)
        return whole if self.least is None else min(self.least, whole)


@dataclass(frozen=True)
class Fitted:
    """Columns with their widths. `scarce`: short titles, and one space between columns."""

    columns: tuple[tuple[Column, int], ...]
    scarce: bool

    def shows(self, title: str) -> bool:
        """Return whether a column is shown."""
        return any(column.title == title for column, _ in self.columns)

    def head(self, width: int, ellipsis: str) -> Text:
        """Return the titles, over the whole width."""
        titles = [
            Text(column.short if self.scarce and column.short is not None else column.title)
            for column, _ in self.columns
        ]
        line = self._line(titles, ellipsis)
        line.pad_right(max(0, width - line.cell_len))
        line.stylize(HEAD)
        return line

    def row(self, index: int, ellipsis: str) -> Text:
        """Return the cells of a row, without trailing spaces."""
        line = self._line([column.cells[index] for column, _ in self.columns], ellipsis)
        line.rstrip()
        return line

    def _line(self, cells: Sequence[Text], ellipsis: str) -> Text:
        gap = Text(" " if self.scarce else "  ")
        placed = [
            _placed(cell, column, width, ellipsis)
            for cell, (column, width) in zip(cells, self.columns, strict=True)
        ]
        return gap.join(placed)


def fit(columns: Sequence[Column], width: int) -> Fitted:
    """Choose the columns that fit `width`, and the width of each."""
    left = list(columns)
    for extra in sorted(
        (column for column in columns if column.extra), key=lambda column: -column.order
    ):
        if _whole(left, scarce=True) > width:
            left.remove(extra)
    for scarce in (False, True):
        if _whole(left, scarce=scarce) <= width:
            return _shared_out(left, width, scarce=scarce)
    while _least(left, scarce=True) > width and any(column.order for column in left):
        left.remove(max(left, key=lambda column: column.order))
    return _shared_out(left, width, scarce=True)


def cut(line: Text, width: int, ellipsis: str) -> Text:
    """Cut a line to at most `width` cells."""
    if line.cell_len <= width:
        return line
    short = line.copy()
    short.truncate(max(0, width - cell_len(ellipsis)), overflow="crop")
    short.rstrip()
    return short.append(ellipsis if width > 0 else "")


def folded(line: Text, width: int, indent: int) -> list[Text]:
    """Return a line as several of at most `width` cells, broken between words; `indent`: of all but
    the first."""
    lines = []
    while line.cell_len > width:
        fitting = next(n for n in range(len(line), -1, -1) if line[:n].cell_len <= width)
        space = line.plain.rfind(" ", indent, fitting + 1)
        end = space if space > 0 else max(1, fitting)
        lines.append(line[:end])
        rest = line[end:]
        rest = rest[len(rest.plain) - len(rest.plain.lstrip()) :]
        line = Text(" " * indent).append_text(rest)
        indent = min(indent, width // 2)
    return [*lines, line]


def cut_middle(line: Text, width: int, ellipsis: str) -> Text:
    """Cut the middle out of a line, to at most `width` cells."""
    if line.cell_len <= width:
        return line
    begin = cut(line, min(width, (width + cell_len(ellipsis) + 1) // 2), ellipsis)
    end = len(line)
    while end > 0 and line[end - 1 :].cell_len <= width - begin.cell_len:
        end -= 1
    return begin + line[end:]


def one_line(parts: Sequence[tuple[int, Text]], width: int, ellipsis: str) -> Text:
    """Parts with an order each, as those of columns: the highest is left out first."""
    left = [part for part in parts if part[1]]
    while len(left) > 1 and _total([text.cell_len for _, text in left], 2) > width:
        left.remove(max(left, key=lambda part: part[0]))
    return cut(Text("  ").join(text for _, text in left), width, ellipsis)


def _placed(cell: Text, column: Column, width: int, ellipsis: str) -> Text:
    shorten = cut_middle if column.names else cut
    placed = shorten(cell, width, ellipsis).copy()
    room = width - placed.cell_len
    if column.right:
        placed.pad_left(room)
    else:
        placed.pad_right(room)
    return placed


def _total(widths: Sequence[int], gap: int) -> int:
    return sum(widths) + gap * max(0, len(widths) - 1)


def _whole(columns: Sequence[Column], *, scarce: bool) -> int:
    return _total([column.width(scarce=scarce) for column in columns], 1 if scarce else 2)


def _least(columns: Sequence[Column], *, scarce: bool) -> int:
    return _total([column.narrowest(scarce=scarce) for column in columns], 1 if scarce else 2)


def _shared_out(columns: Sequence[Column], width: int, *, scarce: bool) -> Fitted:
    """Give every column its least width, and the rest in their order."""
    widths = {id(column): column.narrowest(scarce=scarce) for column in columns}
    over = width - _least(columns, scarce=scarce)
    for column in sorted(columns, key=lambda column: column.order):
        more = max(0, min(over, column.width(scarce=scarce) - widths[id(column)]))
        widths[id(column)] += more
        over -= more
    return Fitted(tuple((column, widths[id(column)]) for column in columns), scarce=scarce)
