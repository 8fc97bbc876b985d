"""References to the environment in other gateways' configs, as we write them."""

from __future__ import annotations

import re
from typing import Any

from llmproxy.tools.importing.report import ImportOutcome, ImportReport
from llmproxy.tools.importing.secrets import literal_secret
from llmproxy.tools.importing.source import SourcePart

_REFERENCE = re.compile(r"(?:\$|env\.|env:)([A-Za-z_]\w*)|\$\{([A-Za-z_]\w*)\}")


def value_of(part: SourcePart, key: str, report: ImportReport) -> Any:
    """Take a value: `$NAME` and `env.NAME` become os.environ/NAME, a secret is noted."""
    value = part.take(key)
    if isinstance(value, dict) and set(value) <= {"value", "env_var", "from_env"}:
        value = value.get("value") or f"env.{value.get('env_var')}"  # Bifrost's longer form
    if not isinstance(value, str):
        return value
    if found := _REFERENCE.fullmatch(value.strip()):
        return f"os.environ/{found[1] or found[2]}"
    if literal_secret(key, value):
        text = "Write os.environ/NAME, and set the variable where the proxy is started."
        report.add(ImportOutcome.IN_THE_CLEAR, part.source, part.at(key), text)
    return value


def report_unread(part: SourcePart, report: ImportReport, remedies: dict[str, str]) -> None:
    """Report all places of a source that nobody looked at. `remedies`: by the name of a key."""
    for place, _ in part.source.unread():
        names = [str(key) for key in reversed(place)]
        text = next((remedies[name] for name in names if name in remedies), None)
        kind = ImportOutcome.UNNEEDED if text and text.startswith("-") else ImportOutcome.LEFT_OUT
        fallback = "It has no counterpart that is known here; see docs/reference/configuration.md."
        report.add(kind, part.source, place, (text or fallback).lstrip("- "))
