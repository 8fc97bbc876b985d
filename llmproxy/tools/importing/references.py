"""References to the environment in other gateways' configs, as we write them."""

from __future__ import annotations

import re
from typing import Any

from llmproxy.tools.importing.report import ImportOutcome, ImportReport
from llmproxy.tools.importing.secrets import literal_secret
from llmproxy.tools.importing.source import SourcePart

_REFERENCE = re.compile(r"(?:\$|env\.|env:)([A-Za-z_]\w*)|\$\{([A-Za-z_]\w*)\}")


def value_of(part: SourcePart, key: str, report: ImportReport) -> str | None:
    """Take a text: `$NAME` and `env.NAME` become os.environ/NAME, a secret is noted.

    None if it is empty. What is no text, and what a vault keeps, stays unread.
    """
    value = part.peek(key)
    if isinstance(value, dict):
        value = _short_form(value)
    if value is not None and not isinstance(value, str):
        return None
    part.take(key)
    if not value:
        return None
    if found := _REFERENCE.fullmatch(value.strip()):
        return f"os.environ/{found[1] or found[2]}"
    if literal_secret(key, value):
        text = "Write os.environ/NAME, and set the variable where the proxy is started."
        report.add(ImportOutcome.IN_THE_CLEAR, part.source, part.at(key), text)
    return value


def _short_form(value: dict[str, Any]) -> Any:
    """Return Bifrost's longer form of a text as a text; as it is if it is none."""
    variable = value.get("env_var") or (value.get("type") == "env" and value.get("ref"))
    if isinstance(variable, str):
        return variable if variable.startswith("env.") else f"env.{variable}"
    text = value.get("value")
    is_text = set(value) <= {"value", "from_env", "type"} and value.get("type") != "vault"
    return text if is_text and isinstance(text, str) else value


def report_unread(part: SourcePart, report: ImportReport, remedies: dict[str, str]) -> None:
    """Report all places of a source that nobody looked at. `remedies`: by the name of a key."""
    for place, _ in part.source.unread():
        names = [str(key) for key in reversed(place)]
        text = next((remedies[name] for name in names if name in remedies), None)
        kind = ImportOutcome.UNNEEDED if text and text.startswith("-") else ImportOutcome.LEFT_OUT
        fallback = "It has no counterpart that is known here; see docs/reference/configuration.md."
        report.add(kind, part.source, place, (text or fallback).lstrip("- "))
