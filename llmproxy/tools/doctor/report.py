"""What doctor prints: a table of endpoints, a table of findings with remedies, or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap

from msgspec.structs import replace

from llmproxy.tools.doctor.examination import Examined
from llmproxy.tools.doctor.findings import DoctorFinding, bounded
from llmproxy.tools.doctor.kinds import Severity
from llmproxy.tools.doctor.reaching import address_of

MARKS = {Severity.FAULT: "✖ fault", Severity.WARNING: "▲ warning", Severity.NOTE: "· note"}
COLOURS = {Severity.FAULT: "31", Severity.WARNING: "33", Severity.NOTE: "2"}
ORDER = list(Severity)
HEAD = ("endpoint", "address", "connect", "first byte", "stream", "result")
STATUS = {Severity.FAULT: 2, Severity.WARNING: 1, Severity.NOTE: 0}


def exit_status(findings: Iterable[DoctorFinding]) -> int:
    """Return 0 if all is fine, 1 with warnings, 2 with faults."""
    return max((STATUS[finding.severity] for finding in findings), default=0)


def sorted_findings(findings: Iterable[DoctorFinding]) -> list[DoctorFinding]:
    """Return findings, the worst first, none of them too long."""
    return sorted(map(bounded, findings), key=lambda finding: ORDER.index(finding.severity))


def as_text(
    findings: Sequence[DoctorFinding],
    endpoints: Sequence[Examined],
    notes: Sequence[str],
    *,
    width: int,
    table_width: int | None = None,
    colour: bool,
) -> str:
    """Return the report for people. `table_width`: None = as wide as the table is."""
    lines = [*_endpoints(endpoints, table_width)]
    for note in notes:
        lines += _wrapped(note, width)
    if lines:
        lines.append("")
    for block, subjects in _together(findings).items():
        lines += _block(block, subjects, width, colour=colour)
    counts = {
        severity: sum(finding.severity is severity for finding in findings)
        for severity in (Severity.FAULT, Severity.WARNING, Severity.NOTE)
    }
    told = [_counted(number, str(severity)) for severity, number in counts.items() if number]
    lines.append(f"{', '.join(told)}." if told else "Nothing is wrong.")
    return "\n".join(lines)


def as_json(
    findings: Sequence[DoctorFinding], endpoints: Sequence[Examined], notes: Sequence[str]
) -> str:
    """Return the report as JSON."""
    return json.dumps(
        {
            "status": exit_status(findings),
            "findings": [
                {
                    "code": finding.code,
                    "severity": finding.severity,
                    "subject": finding.subject,
                    "cause": finding.cause,
                    "remedy": finding.remedy,
                }
                for finding in findings
            ],
            "endpoints": [_described(examined) for examined in endpoints],
            "notes": list(notes),
        },
        indent=2,
    )


def _endpoints(endpoints: Sequence[Examined], table_width: int | None) -> Iterator[str]:
    if not endpoints:
        return
    rows: list[tuple[str, ...]] = [HEAD, *map(_row, endpoints)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    if table_width is not None and sum(widths) + 2 * (len(HEAD) - 1) > table_width:
        for subject, *cells in rows[1:]:
            told = [f"{name} {cell}" for name, cell in zip(HEAD[2:], cells[1:], strict=True)]
            yield from _wrapped(subject, table_width)
            yield from _wrapped(", ".join([cells[0], *told]), table_width, "    ")
        return
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _wrapped(text: str, width: int, indent: str = "", *, more: str | None = None) -> list[str]:
    """Return a text in lines. A word that is copied, such as a path or an option, stays whole."""
    return wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent if more is None else more,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _row(examined: Examined) -> tuple[str, ...]:
    endpoint = examined.endpoint
    whole, stream = examined.answers.get(False), examined.answers.get(True)
    faults = [finding.code for finding in examined.findings if finding.severity is Severity.FAULT]
    warnings = [f.code for f in examined.findings if f.severity is Severity.WARNING]
    result = ", ".join(dict.fromkeys(faults or warnings)) or "ok"
    if examined.same_as is not None:
        result = f"as {examined.same_as}"
    elif not faults and whole is None:
        result = "not asked" if result == "ok" else result
    return (
        examined.subject,
        address_of(endpoint),
        _ms(examined.connected_ms),
        "-" if whole is None or whole.first_byte_s is None else _ms(whole.first_byte_s * 1000),
        "-" if stream is None or stream.first_byte_s is None else _ms(stream.first_byte_s * 1000),
        result,
    )


def _described(examined: Examined) -> dict[str, object]:
    whole, stream = examined.answers.get(False), examined.answers.get(True)
    return {
        "endpoint": examined.subject,
        "address": address_of(examined.endpoint),
        "model": examined.model,
        "dialect": examined.dialect,
        "same_as": examined.same_as,
        "connect_ms": examined.connected_ms,
        "first_byte_ms": None if whole is None else _in_ms(whole.first_byte_s),
        "stream_first_byte_ms": None if stream is None else _in_ms(stream.first_byte_s),
        "findings": [finding.code for finding in examined.findings],
    }


def _together(findings: Iterable[DoctorFinding]) -> dict[DoctorFinding, list[str]]:
    """Return findings that differ only in their subjects once, with the subjects."""
    together: dict[DoctorFinding, list[str]] = {}
    for finding in findings:
        subjects = together.setdefault(replace(finding, subject=""), [])
        if finding.subject not in subjects:
            subjects.append(finding.subject)
    return together


def _block(
    finding: DoctorFinding, subjects: Sequence[str], width: int, *, colour: bool
) -> Iterator[str]:
    mark = MARKS[finding.severity]
    where = f"{', '.join(subjects)}  ({finding.code})"
    first, *rest = _wrapped(where, width, f"{mark}  ", more="    ")
    if colour:
        first = first.replace(mark, f"\033[{COLOURS[finding.severity]}m{mark}\033[0m", 1)
    yield from (first, *rest)
    yield from _wrapped(finding.cause, width, "    ")
    yield from _wrapped(f"-> {finding.remedy}", width, "    ", more="       ")
    yield ""


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _in_ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
