"""Reads recorded calls from CSV, JSON lines, or the proxy's own access log (JSON lines)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Annotated

import msgspec

from llmproxy.errors import ConfigError, Problem
from llmproxy.routing import Pool
from llmproxy.tools.simulate.traffic import Arrival, Traffic

MAX_PROBLEMS = 20  # with more problems than this, it is probably the wrong file
FORMAT = (
    "Expected CSV with a header row, or JSON lines, with at_s, model_group, input_tokens and "
    "output_tokens; or lines of the access log."
)

Tokens = Annotated[int, msgspec.Meta(ge=0)]


class RecordedCall(msgspec.Struct):
    """One line of a file. `time`, `total_ms` and `group` are fields of the access log, whose lines
    are written at the end of a call: it started at `time` minus `total_ms`."""

    at_s: float | None = None
    model_group: str | None = None
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    max_output_tokens: Tokens | None = None
    time: str | None = None
    total_ms: float = 0.0
    group: str | None = None


def read_calls(path: Path, names: Pool, tokens: tuple[int, int]) -> Traffic:
    """Return the calls of a file, with times relative to the first call.

    `names`: the model groups by their names. `tokens`: the input and output tokens of a call that
    does not give its own. Raises ConfigError, which lists up to 20 problems with their lines.
    """
    file = str(path)
    arrivals: list[Arrival] = []
    problems: list[Problem] = []
    without_group = without_tokens = 0
    try:
        for number, line in _lines(path):
            name = None if isinstance(line, str) else line.model_group or line.group
            if isinstance(line, str):
                problems.append(Problem(file, number, line, FORMAT))
            elif name is None:
                without_group += 1
            elif (group := names.group_named(name)) is None:
                known = f"Use one of: {', '.join(names.names)}."
                problems.append(Problem(file, number, f"unknown model group {name!r}.", known))
            elif (arrival := _arrival(line, group.name, tokens)) is None:
                found = "the time of the call is missing or cannot be parsed."
                problems.append(Problem(file, number, found, "Give at_s (seconds) or time."))
            else:
                arrivals.append(arrival)
                without_tokens += line.input_tokens is None
            if len(problems) >= MAX_PROBLEMS:
                break
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        problems.append(Problem(file, 0, f"cannot be read: {error}.", FORMAT))
    if not problems and not arrivals:
        problems.append(Problem(file, 0, "the file contains no calls.", FORMAT))
    if problems:
        raise ConfigError(problems)
    return _relative(arrivals, _notes(without_group, without_tokens, tokens))


def _lines(path: Path) -> Iterator[tuple[int, RecordedCall | str]]:
    """Yield each line's number and its call, or a message that says what is wrong with it."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        first = lines.readline()
        lines.seek(0)
        if first.lstrip().startswith("{"):
            yield from _json_lines(lines)
        else:
            yield from _rows(lines)


def _json_lines(lines: Iterable[str]) -> Iterator[tuple[int, RecordedCall | str]]:
    decode = msgspec.json.Decoder(RecordedCall).decode
    for number, text in enumerate(lines, 1):
        if text.isspace():
            continue
        try:
            yield number, decode(text)
        except msgspec.DecodeError as error:
            yield number, f"cannot be parsed: {error}."


def _rows(lines: Iterable[str]) -> Iterator[tuple[int, RecordedCall | str]]:
    rows = csv.DictReader(lines, skipinitialspace=True)
    missing = {"at_s", "model_group"} - set(rows.fieldnames or ())
    if missing:
        yield 1, f"the header row lacks {' and '.join(sorted(missing))}."
        return
    for row in rows:
        filled = {name: value for name, value in row.items() if value}
        try:
            yield rows.line_num, msgspec.convert(filled, RecordedCall, strict=False)
        except msgspec.ValidationError as error:
            yield rows.line_num, f"cannot be parsed: {error}."


def _arrival(line: RecordedCall, group: str, tokens: tuple[int, int]) -> Arrival | None:
    at_s = line.at_s
    if at_s is None and line.time is not None:
        try:
            at_s = datetime.fromisoformat(line.time).timestamp() - line.total_ms / 1000
        except ValueError:
            return None
    if at_s is None or not isfinite(at_s):
        return None
    input_tokens = tokens[0] if line.input_tokens is None else line.input_tokens
    output_tokens = tokens[1] if line.output_tokens is None else line.output_tokens
    bound = output_tokens if line.max_output_tokens is None else line.max_output_tokens
    return Arrival(at_s, group, input_tokens, output_tokens, input_tokens + bound)


def _relative(arrivals: list[Arrival], notes: tuple[str, ...]) -> Traffic:
    arrivals.sort(key=lambda arrival: arrival.at_s)
    begin = arrivals[0].at_s
    moved = [msgspec.structs.replace(arrival, at_s=arrival.at_s - begin) for arrival in arrivals]
    return Traffic(moved, moved[-1].at_s, notes)


def _notes(without_group: int, without_tokens: int, tokens: tuple[int, int]) -> tuple[str, ...]:
    notes = []
    if without_group:
        notes.append(f"Lines without a model group, which were skipped: {without_group:,}.")
    if without_tokens:
        notes.append(
            f"Calls without token counts: {without_tokens:,}. Assumed {tokens[0]} input and "
            f"{tokens[1]} output tokens (--tokens)."
        )
    return tuple(notes)
