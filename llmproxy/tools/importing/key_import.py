"""Brings the keys and teams of a LiteLLM database into our store, from a dump of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any

from llmproxy.batteries.keys.adoption import AT_ONCE, Adopted, Adoption
from llmproxy.batteries.store import Database
from llmproxy.tools.importing.dump import DumpError, refuse_other_forms, rows
from llmproxy.tools.importing.litellm_database import TABLES, described
from llmproxy.tools.progress import progress


@dataclass(frozen=True, slots=True)
class KeyReport:
    """What came of a dump. `notes`: what was not carried over, and how often."""

    store: str
    dry: bool
    keys: Adopted
    teams: Adopted
    notes: Mapping[str, int]

    @property
    def status(self) -> int:
        """Return the exit status: 1 if something was not carried over."""
        return 1 if self.notes else 0

    def as_json(self) -> str:
        """Return the report for programs."""
        counts = {
            name: {"added": found.added, "known": found.known, "renamed": found.renamed}
            for name, found in (("keys", self.keys), ("teams", self.teams))
        }
        whole: dict[str, Any] = {"store": self.store, "dry_run": self.dry, **counts}
        return json.dumps({**whole, "notes": dict(self.notes), "status": self.status}, indent=2)

    def as_text(self) -> str:
        """Return the report for people."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        would = "would be " if self.dry else ""
        for name, found in (("keys", self.keys), ("teams", self.teams)):
            yield f"{found.added} {name} {would}added to {self.store}; {found.known} were there."
            if found.renamed:
                yield f"{found.renamed} of them got another name, because theirs is taken."
        if self.notes:
            yield from ("", "Not as before:")
        yield from (f"  {count} x {text}" for text, count in self.notes.items())
        if self.dry:
            yield from ("", "Nothing was written: leave --dry-run out.")
        else:
            yield "Clients go on using their keys. Running proxies know them within a second."


async def import_keys(
    dump: Path, database: Database, *, taken: frozenset[str] = frozenset(), dry: bool = False
) -> KeyReport:
    """Take over what a dump has. `taken`: names of callers in the config.

    Raises DumpError, OSError, UnicodeDecodeError, OrderError, StoreUnavailable.
    """
    with dump.open("rb") as raw:
        refuse_other_forms(raw.read(5))
    with progress(f"Reading {dump.name}") as bar, dump.open(encoding="utf-8", newline="\n") as file:
        found = described(_counted(rows(file, TABLES), bar.advance), time())
    if not (found.keys or found.teams or found.notes):
        raise DumpError(
            "no key and no team of LiteLLM is in it. Is it a dump of LiteLLM's database, with data?"
        )
    adoption = Adoption(database, taken=taken, dry=dry)
    teams = await adoption.adopt_teams(found.teams)
    keys = Adopted()
    with progress("Adding keys", total=len(found.keys)) as bar:
        for some in _some(found.keys):
            added = await adoption.adopt_keys(some)
            keys.added += added.added
            keys.known += added.known
            keys.renamed += added.renamed
            bar.advance(len(some))
    return KeyReport(str(database.address), dry, keys, teams, found.notes)


def _counted(items: Iterator[Any], advance: Any) -> Iterator[Any]:
    for item in items:
        advance()
        yield item


def _some(items: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(items), AT_ONCE):
        yield items[start : start + AT_ONCE]
