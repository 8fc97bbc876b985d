"""What an import did not carry over as it was: by its place in the source, with what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from llmproxy.tools.importing.source import Place, SourceFile, SourcePart, dotted


class ImportOutcome(Enum):
    """What became of a key, with the heading of its list."""

    LEFT_OUT = "Left out, because it has no counterpart"
    CHANGED = "Carried over, and it now means something else"
    IN_THE_CLEAR = "Secrets in the file: they work, but belong in the environment"
    UNNEEDED = "Not needed here"


@dataclass(frozen=True, slots=True)
class Finding:
    """One key: where it is, what became of it, and what to do. Never contains a secret."""

    kind: ImportOutcome
    file: str
    line: int
    path: str
    text: str


@dataclass(slots=True)
class ImportReport:
    """All findings of an import, how much was carried over, and which variables it needs."""

    findings: list[Finding] = field(default_factory=list)
    groups: int = 0
    endpoints: int = 0
    variables: dict[str, bool] = field(default_factory=dict)  # name -> whether it is set
    problems: list[str] = field(default_factory=list)  # what `llmproxy check` says of the result
    advice: list[str] = field(default_factory=list)  # settings that may help, and when

    def add(self, kind: ImportOutcome, source: SourceFile, place: Place, text: str) -> None:
        """Note what became of a place; the first word on it stands."""
        path = dotted(place)
        if not any((known.file, known.path) == (source.file, path) for known in self.findings):
            finding = Finding(kind, source.file, source.line(place), path, text)
            self.findings.append(finding)

    def left_out(self, part: SourcePart, key: str | None, text: str) -> None:
        """Note a key that was looked at and has no counterpart."""
        if key is not None:
            part.take(key)
        self.add(ImportOutcome.LEFT_OUT, part.source, part.at(key), text)

    def changed(self, part: SourcePart, key: str | None, text: str) -> None:
        """Note a key whose meaning is not quite the same."""
        self.add(ImportOutcome.CHANGED, part.source, part.at(key), text)

    def unneeded(self, part: SourcePart, key: str | None, text: str) -> None:
        """Note a key that says what is so anyway."""
        self.add(ImportOutcome.UNNEEDED, part.source, part.at(key), text)

    def of(self, kind: ImportOutcome) -> list[Finding]:
        """Return the findings of a kind, in the order of the source."""
        chosen = [finding for finding in self.findings if finding.kind is kind]
        return sorted(chosen, key=lambda finding: (finding.file, finding.line))

    @property
    def status(self) -> int:
        """Return the exit status: 1 if something was left out, or does not pass the check."""
        return 1 if self.problems or self.of(ImportOutcome.LEFT_OUT) else 0

    def as_json(self) -> str:
        """Return the report for programs."""
        findings = [
            {
                **{"kind": kind.name.lower(), "file": found.file, "line": found.line},
                **{"path": found.path, "text": found.text},
            }
            for kind in ImportOutcome
            for found in self.of(kind)
        ]
        whole = {
            **{"groups": self.groups, "endpoints": self.endpoints, "findings": findings},
            **{"variables": self.variables, "problems": self.problems, "status": self.status},
            **{"advice": self.advice},
        }
        return json.dumps(whole, indent=2, ensure_ascii=False)

    def as_text(self) -> str:
        """Return the report for people."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield (
            f"{_counted(self.groups, 'model group')} with "
            f"{_counted(self.endpoints, 'endpoint')} carried over."
        )
        for kind in ImportOutcome:
            if found := self.of(kind):
                yield from ("", f"{kind.value} ({len(found)}):")
                yield from _grouped(found)
        if unset := [name for name, is_set in self.variables.items() if not is_set]:
            yield from ("", f"Set these variables before you start it: {', '.join(unset)}.")
        for text in self.advice:
            yield from ("", text)
        for problem in self.problems:
            yield from ("", f"The result does not pass `llmproxy check` yet: {problem}")
        if not self.findings and not self.problems:
            yield "Nothing was left out."


def _grouped(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield the places of findings, and what to do once for those that need the same."""
    by_text: dict[str, list[Finding]] = {}
    for finding in findings:
        by_text.setdefault(finding.text, []).append(finding)
    for text, found in by_text.items():
        yield from (f"  {finding.file}:{finding.line}: {finding.path}" for finding in found)
        yield f"      {text}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
