"""References to the environment inside a string: `os.environ/NAME`, `${NAME}`, `${NAME:-default}`.

The value of a variable is used as it is; references inside it are not resolved. As in a shell, the
default replaces a variable that is unset or empty. `$${` writes a plain `${`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

REFERENCE = r"\$\{|os\.environ/"  # what a string with a reference contains; for JSON Schema too

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PIECE = re.compile(
    r"(?P<escaped>\$\$\{)|\$\{(?P<inside>[^}]*)(?P<closed>\}?)"
    r"|os\.environ/(?P<name>[A-Za-z_][A-Za-z0-9_]*)?"
)


@dataclass(frozen=True, slots=True)
class Resolved:
    """A text with its references replaced, and (found, remedy) for each that cannot be resolved."""

    text: str
    problems: tuple[tuple[str, str], ...] = ()


def resolve(text: str, environ: Mapping[str, str]) -> Resolved:
    """Replace every reference in `text`."""
    if "${" not in text and "os.environ/" not in text:
        return Resolved(text)
    problems: list[tuple[str, str]] = []

    def value(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "${"
        if match["inside"] is None:
            return _variable(match["name"], None, environ, problems)
        if not match["closed"]:
            problems.append(("found '${' without '}'.", "Close it, or write $${ for a plain '${'."))
            return ""
        name, sign, default = match["inside"].partition(":-")
        if "${" in default:
            problems.append(
                ("found a reference inside the default of another.", "Write a plain default.")
            )
            return ""
        return _variable(name, default if sign else None, environ, problems)

    return Resolved(_PIECE.sub(value, text), tuple(problems))


def _variable(
    name: str | None,
    default: str | None,
    environ: Mapping[str, str],
    problems: list[tuple[str, str]],
) -> str:
    if name is None or not _NAME.fullmatch(name):
        problems.append(
            (
                "found a reference without a valid variable name.",
                "Write os.environ/NAME, ${NAME} or ${NAME:-default}; a plain '${' is $${.",
            )
        )
        return ""
    current = environ.get(name)
    if default is not None:
        return current or default
    if current is None:
        problems.append(
            (
                f"the environment variable {name} is not set.",
                f"Set it, or write ${{{name}:-default}}.",
            )
        )
        return ""
    return current
