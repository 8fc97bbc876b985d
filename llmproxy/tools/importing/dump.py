"""Reads the rows of tables from the plain text of pg_dump: COPY blocks and INSERT statements.

Rows are yielded as they are read, so a dump may be larger than the memory. Values are texts as
PostgreSQL writes them; None is NULL. Source: PostgreSQL's pages on pg_dump and COPY.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

Row = dict[str, str | None]

_TABLE = r'(?:ONLY )?(?:"?\w+"?\.)?"?(?P<table>\w+)"?'
_COPY = re.compile(rf"COPY {_TABLE} \((?P<columns>[^)]*)\) FROM stdin;")
_INSERT = re.compile(rf"INSERT INTO {_TABLE}(?: \((?P<columns>[^)]*)\))? VALUES")
_CREATE = re.compile(rf"CREATE (?:UNLOGGED )?TABLE {_TABLE} \(")
_COLUMN = re.compile(r'\s+(?:"(?P<quoted>[^"]+)"|(?P<plain>\w+))\s')
_VALUE = re.compile(r"[Ee]?'(?P<text>(?:[^']|'')*)'(?:::[\w \"\[\]()]+)?|(?P<word>[^\s,()']+)")
_ESCAPE = re.compile(r"\\([0-7]{1,3}|x[0-9A-Fa-f]{1,2}|.)", re.DOTALL)
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_OTHER_FORMS = {
    b"PGDMP": "this is a dump in the custom format. Make it plain: pg_restore -f dump.sql FILE.",
    b"\x1f\x8b": "this file is compressed. Unpack it first: gunzip FILE.",
    b"\xff\xfe": "this file is UTF-16. Save it as UTF-8; pg_dump -f FILE writes it so.",
}
MAX_STATEMENT = 64 * 1024 * 1024


class DumpError(Exception):
    """The file is no dump that can be read. The text says why, and what to do."""


def rows(lines: Iterable[str], tables: Collection[str]) -> Iterator[tuple[str, Row]]:
    """Yield the rows of these tables with their table, in the order of the dump."""
    columns: dict[str, list[str]] = {}  # from CREATE TABLE, for INSERTs that name none
    reader = iter(lines)
    for line in reader:
        if line.startswith("PGDMP"):
            raise DumpError(_OTHER_FORMS[b"PGDMP"])
        if (found := _COPY.match(line)) and found["table"] in tables:
            names = _names(found["columns"])
            for copied in _until(reader, "\\."):
                yield found["table"], _copied(copied, names)
        elif (found := _CREATE.match(line)) and found["table"] in tables:
            columns[found["table"]] = _declared(_until(reader, ");"))
        elif (found := _INSERT.match(line)) and found["table"] in tables:
            listed = found["columns"]
            names = _names(listed) if listed else columns.get(found["table"], [])
            if not names:
                raise DumpError(
                    f"the INSERTs into {found['table']} name no columns, and the dump does not "
                    "make the table. Dump it with pg_dump --column-inserts, or without --data-only."
                )
            for values in _tuples(_statement(line[found.end() :], reader)):
                yield found["table"], dict(zip(names, values, strict=False))


def refuse_other_forms(start: bytes) -> None:
    """Raise DumpError for the first bytes of a file that is no plain text of pg_dump."""
    for magic, remedy in _OTHER_FORMS.items():
        if start.startswith(magic):
            raise DumpError(remedy)


def array(text: str | None) -> list[str]:
    """Return the elements of a text[]: `{a,"b c"}`."""
    if not text:
        return []
    found = re.findall(r'"((?:[^"\\]|\\.)*)"|([^,{}"]+)', text)
    return [re.sub(r"\\(.)", r"\1", quoted) if quoted else plain for quoted, plain in found]


def json_value(text: str | None) -> dict[str, Any]:
    """Return a JSON column that holds an object; an empty one if it holds something else."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def moment(text: str | None) -> float | None:
    """Return a timestamp in Unix seconds. One without a zone is in UTC, as Prisma writes it."""
    if not text or text == "infinity":
        return None
    if text == "-infinity" or text.endswith(" BC"):
        return 0.0
    try:
        at = datetime.fromisoformat(re.sub(r"([+-]\d\d)$", r"\1:00", text.replace(" ", "T")))
    except ValueError as error:
        raise DumpError("it has a time that PostgreSQL does not write. Dump it again.") from error
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _names(listed: str) -> list[str]:
    return [name.strip().strip('"') for name in listed.split(",")]


def _until(reader: Iterator[str], end: str) -> Iterator[str]:
    for line in reader:
        text = line.rstrip("\n")
        if text.rstrip("\r") == end:
            return
        yield text
    raise DumpError(f"it ends in the middle of a table: the line {end} is missing. Dump it again.")


def _copied(line: str, names: list[str]) -> Row:
    values = [None if cell == "\\N" else _ESCAPE.sub(_unescaped, cell) for cell in line.split("\t")]
    return dict(zip(names, values, strict=False))


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] == "x" and len(code) > 1:
        return chr(int(code[1:], 16))
    return chr(int(code, 8)) if code.isdigit() else _ESCAPES.get(code, code)


def _declared(lines: Iterable[str]) -> list[str]:
    """Return the columns of a CREATE TABLE."""
    found = []
    for line in lines:
        if (match := _COLUMN.match(line)) and match["plain"] != "CONSTRAINT":
            found.append(match["quoted"] or match["plain"])
    return found


def _statement(start: str, reader: Iterator[str]) -> str:
    """Return the rest of a statement, up to the semicolon that is outside of quotes."""
    parts, size, quotes = [start], len(start), start.count("'")
    while quotes % 2 or not parts[-1].rstrip().endswith(";"):
        line = next(reader, None)
        if line is None or size > MAX_STATEMENT:
            raise DumpError("it ends in the middle of a statement. Dump it again.")
        parts.append(line)
        size, quotes = size + len(line), quotes + line.count("'")
    return "".join(parts)


def _tuples(text: str) -> Iterator[list[str | None]]:
    """Yield the values of each row of `(1, 'a'), (2, NULL);`."""
    position = 0
    values: list[str | None] = []
    while position < len(text):
        char = text[position]
        if char == "(":
            values = []
        elif char == ")":
            yield values
        elif match := _VALUE.match(text, position):
            values.append(_plain(match))
            position = match.end()
            continue
        position += 1


def _plain(match: re.Match[str]) -> str | None:
    if match["text"] is not None:
        text = match["text"].replace("''", "'")
        return _ESCAPE.sub(_unescaped, text) if match[0][0] in "Ee" else text
    word = match["word"]
    return None if word.upper() == "NULL" else {"true": "t", "false": "f"}.get(word.lower(), word)
