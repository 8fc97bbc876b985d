"""The licence of every package that comes with LLMProxy or with one of its extras.

`make dist` writes the report, and fails if a licence is unknown or not permissive.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from importlib.metadata import Distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# SPDX identifiers; "BSD" is what packages say that do not name the number of clauses.
PERMISSIVE = frozenset(
    (
        *("0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0"),
        *("PSF-2.0", "Unlicense", "Zlib"),
    )
)
# What older packages write in `License` or in a classifier instead.
SPELLINGS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
# Packages whose licence is not permissive, with what we do so that it asks nothing of our users.
EXCEPTIONS = {
    "certifi": "MPL-2.0 asks for changes to its files; it is installed unchanged, from its own "
    "wheel, and only with the extras that bring requests.",
}
EVERY = "every installation"


@dataclass(frozen=True)
class Package:
    """An installed package. `comes_with`: extras, or EVERY. `licence`: None = it says none."""

    name: str
    version: str
    licence: str | None
    comes_with: tuple[str, ...]


def packages_of(root: str, installed: Iterable[Distribution]) -> list[Package]:
    """Return what a package brings, sorted by name. Raises KeyError if a dependency is missing."""
    by_name = {canonicalize_name(found.name): found for found in installed}
    extras = by_name[root].metadata.get_all("Provides-Extra") or []
    always = _needed(root, None, by_name)
    reasons: dict[str, list[str]] = {name: [EVERY] for name in always}
    for extra in extras:
        for name in _needed(root, extra, by_name) - always:
            reasons.setdefault(name, []).append(extra)
    return [
        Package(name, by_name[name].version, licence_of(by_name[name].metadata), tuple(why))
        for name, why in sorted(reasons.items())
        if name != root
    ]


def _needed(root: str, extra: str | None, by_name: Mapping[str, Distribution]) -> set[str]:
    """Return the names of a package and of all that it needs on this machine, with one extra."""
    seen: set[tuple[str, str | None]] = set()
    left = [(root, None), *([] if extra is None else [(root, extra)])]
    while left:
        name, asked_for = part = left.pop()
        if part in seen:
            continue
        seen.add(part)
        for text in by_name[name].requires or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": asked_for or ""}):
                target = canonicalize_name(needed.name)
                left += [(target, more) for more in (None, *needed.extras)]
    return {name for name, _ in seen}


def licence_of(metadata: Message) -> str | None:
    """Return a package's licence as an SPDX expression, if its metadata has one that we know."""
    if expression := metadata.get("License-Expression"):
        return str(expression)
    said = str(metadata.get("License") or "").strip()
    if said in SPELLINGS or said in PERMISSIVE:
        return SPELLINGS.get(said, said)
    classifiers = [
        str(line).rpartition(" :: ")[2]
        for line in metadata.get_all("Classifier") or []
        if str(line).startswith("License ::")
    ]
    if not classifiers:
        return None
    return " OR ".join(SPELLINGS.get(name, name) for name in sorted(classifiers))


def problems_of(packages: Iterable[Package]) -> Iterator[str]:
    """Yield what stands against giving these packages to others."""
    for package in packages:
        if package.licence is None:
            yield (
                f"{package.name} {package.version} names no licence that is known here. Read its "
                "licence; add how it writes it to SPELLINGS in tools/licences.py, or do without it."
            )
        elif not is_permissive(package.licence) and package.name not in EXCEPTIONS:
            yield (
                f"{package.name} {package.version} has the licence {package.licence}, which is not "
                "in PERMISSIVE of tools/licences.py. Do without it, or add it to EXCEPTIONS there "
                "with what that licence asks of our users."
            )


def is_permissive(expression: str) -> bool:
    """Return whether every licence in an expression is permissive."""
    names = re.split(r"\s+(?:AND|OR|WITH)\s+|[()\s]+", expression)
    return all(name in PERMISSIVE for name in names if name)


def report(root: str, version: str, packages: Iterable[Package]) -> str:
    """Return the report as Markdown."""
    lines = [
        f"# Licences of what {root} {version} brings",
        "",
        "LLMProxy itself: Apache-2.0. Versions: those of the locks, on Linux.",
        "",
        "| package | version | licence | comes with |",
        "|---|---|---|---|",
    ]
    noted = []
    for package in packages:
        mark = "*" if package.name in EXCEPTIONS else ""
        noted += [f"\\* {package.name}: {EXCEPTIONS[package.name]}"] if mark else []
        lines.append(
            f"| {package.name} | {package.version} | {package.licence}{mark} | "
            f"{', '.join(package.comes_with)} |"
        )
    return "\n".join([*lines, "", *noted, *([""] if noted else [])])
