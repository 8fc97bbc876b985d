"""References to the environment inside a string: `os.environ/NAME`, `${NAME}`, `${NAME:-default}`.

The value of a variable is used as it is; references inside it are not resolved. As in a shell, the
default replaces a variable that is unset or empty. `$${` stands for the text `${`.

A text that only looks like a reference (`$NAME`, `os.environ.NAME`, `process.env.NAME`, ...) is
refused: it would be sent to a vendor as the key. `$$NAME` stands for the text `$NAME`.
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
# How other languages and tools write a variable, as a whole value or behind the word of a header.
_LOOKALIKE = re.compile(
    r"(?:(?:Bearer|Basic|Token|Key)\s+)?(?:"
    r"\$(?P<shell>[A-Za-z_][A-Za-z0-9_]*)|\$\((?P<make>[A-Za-z_][A-Za-z0-9_]*)\)"
    r"|%(?P<windows>[A-Za-z_][A-Za-z0-9_]*)%|\{\{\s*(?:env\.)?(?P<template>[A-Za-z_]\w*)\s*\}\}"
    r"|(?:(?:os\.environ|os\.getenv|os\.env|environ|getenv|process\.env)(?:\.get)?\s*[.:/(\[]"
    r"|(?i:env)[.:(\[])\s*[\"']?(?P<code>[A-Z_][A-Z0-9_]*)[\"']?\s*[)\]]?)",
    re.ASCII,
)
_IN_URL = re.compile(r"\$(?P<shell>[A-Z_][A-Z0-9_]*)")
_WHOLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}|os\.environ/[A-Za-z_][A-Za-z0-9_]*")
_PLAIN_DOLLAR = re.compile(r"\$\$+[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A text with its references replaced, and (found, remedy) for each that cannot be resolved."""

    text: str
    problems: tuple[tuple[str, str], ...] = ()


def escaped(text: str) -> str:
    """Return how a text is written so that `resolve` leaves it as it is."""
    if _PLAIN_DOLLAR.fullmatch(f"${text}"):
        return f"${text}"
    return text.replace("${", "$${")


def names_a_variable(text: str) -> bool:
    """Return whether a text is the name of a variable and nothing else, not even a default."""
    return _WHOLE.fullmatch(text) is not None or _LOOKALIKE.fullmatch(text) is not None


def resolve(text: str, environ: Mapping[str, str]) -> Resolved:
    """Replace every reference in `text`."""
    if "${" not in text and "os.environ/" not in text:
        if _PLAIN_DOLLAR.fullmatch(text):
            return Resolved(text[1:])
        name = _meant(text)
        if name is None:
            return Resolved(text)
        found = f"found a text that looks like the variable {name}, but is no reference to it."
        plain = f"; for the text ${name} itself, $${name}" if text == f"${name}" else ""
        return Resolved(text, ((found, f"Write os.environ/{name} or ${{{name}}}{plain}."),))
    problems: list[tuple[str, str]] = []

    def value(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "${"
        if match["inside"] is None:
            return _variable(match["name"], None, environ, problems)
        if not match["closed"]:
            problems.append(("found '${' without '}'.", "Close it, or write $${ for '${' itself."))
            return ""
        name, sign, default = match["inside"].partition(":-")
        if "${" in default:
            problems.append(
                ("found a reference inside the default of another.", "Write a plain default.")
            )
            return ""
        return _variable(name, default if sign else None, environ, problems)

    return Resolved(_PIECE.sub(value, text), tuple(problems))


def _meant(text: str) -> str | None:
    """Return the variable that a text without references probably stands for."""
    match = _LOOKALIKE.fullmatch(text.strip())
    if match is None and "://" in text:
        match = _IN_URL.search(text)
    return None if match is None else next(name for name in match.groups() if name)


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
                "Write os.environ/NAME, ${NAME} or ${NAME:-default}; for '${' itself, $${.",
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
