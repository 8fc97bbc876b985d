"""Parse YAML into plain values with their line numbers.

Scalars follow YAML 1.2's core schema: `no`, `1:30` and dates are strings. Duplicate keys, cycles
and tags are refused. References to the environment are resolved; the text as written is kept,
because an error message may show a reference, and not the secret that it stands for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from llmproxy.batteries.config_file.places import BREAK, SourcePlace, at, place_at, place_of
from llmproxy.batteries.config_file.references import resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmproxy.batteries.config_file.raw import Path

MAX_VALUES = 100_000  # nested aliases multiply: a short file may expand to a billion values
MAX_DEPTH = 50

_CORE = "tag:yaml.org,2002:"
_IMPLICIT = {_CORE + kind for kind in ("null", "bool", "int", "float", "timestamp", "value")}
_INT = re.compile(r"[-+]?[0-9]{1,30}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
# YAML 1.1 (libyaml) ends a line at these, YAML 1.2 and editors do not: line numbers would differ.
_ODD_BREAK = re.compile("[\x85\u2028\u2029]")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True, slots=True)
class TextError:
    """An error in the YAML text: its place, what was found, and the remedy."""

    place: SourcePlace
    found: str
    remedy: str


@dataclass(slots=True)
class Document:
    """The values of a YAML text, their places, and the errors in it.

    `written`: the text of values with references to the environment, as it is in the file.
    `refused`: the paths of values that cannot be used; `errors` says why.
    """

    value: Any = None
    errors: list[TextError] = field(default_factory=list)
    key_places: dict[Path, SourcePlace] = field(default_factory=dict)
    value_places: dict[Path, SourcePlace] = field(default_factory=dict)
    written: dict[Path, str] = field(default_factory=dict)
    refused: set[Path] = field(default_factory=set)

    def place(self, path: Path, *, key: bool = False) -> SourcePlace:
        """Return the place of a value, or of its key; if absent, that of its closest parent."""
        places = (self.key_places, self.value_places)
        for length in range(len(path), -1, -1):
            for known in places if key else reversed(places):
                if path[:length] in known:
                    return known[path[:length]]
        return SourcePlace(1)


def read_document(text: str, environ: Mapping[str, str]) -> Document:
    """Read a YAML text. Never raises: errors are in the document's `errors`."""
    document = Document()
    if odd := _ODD_BREAK.search(text):
        found = f"found the invisible line separator U+{ord(odd[0]):04X}."
        remedy = "Remove it; inside double quotes it may be written \\u and its four digits."
        document.errors.append(TextError(place_at(text, odd.start()), found, remedy))
        return document
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        if (place := _too_deep(text, loader)) is not None:
            document.errors.append(
                TextError(place, f"found more than {MAX_DEPTH} levels.", "Flatten it.")
            )
            return document
        root = yaml.compose(text, Loader=loader)
    except yaml.YAMLError as error:
        document.errors.append(_syntax(error, text))
        return document
    if root is not None:
        builder = _Builder(document, environ, BREAK.split(text))
        document.value = builder.build(root, ())
    return document


def is_too_deep(text: str, loader: type[yaml.SafeLoader]) -> bool:
    """Return whether a text may not be composed. Raises yaml.YAMLError."""
    return _too_deep(text, loader) is not None


def _too_deep(text: str, loader: type[yaml.SafeLoader]) -> SourcePlace | None:
    """Return the first place that is nested too deeply, or None.

    Checked on the events, because composing is recursive in C and would crash.
    """
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                return at(event.start_mark) if event.start_mark else SourcePlace(1)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return None


def _syntax(error: yaml.YAMLError, text: str) -> TextError:
    """Return PyYAML's message and place, without the line's text, which may contain a secret."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        place = at(error.problem_mark)
        if error.context_mark is not None and _is_unclosed(error):
            place = at(error.context_mark)  # where the quote or brace is that nothing closes
        problem = ", ".join(part for part in (error.context, error.problem) if part)
    elif isinstance(error, yaml.reader.ReaderError):
        place = place_at(text, error.position)
        problem = f"the control character #x{error.character:02x} is not allowed"
    else:  # PyYAML raises no other kind
        place, problem = SourcePlace(1), "it cannot be parsed"
    lines = BREAK.split(text.rstrip())
    around = lines[max(place.line - 2, 0) : place.line]
    if any("${" in text_line for text_line in around) and "flow" in problem:
        remedy = "Put quotes around the ${...} between braces or brackets."
    elif "tab" in problem or any(text_line.lstrip(" ").startswith("\t") for text_line in around):
        remedy = "Indent with spaces, not with tabs."
    elif "another document" in problem:
        remedy = "Keep one document: remove the line ---."
    elif "cannot start any token" in problem:
        remedy = "Put quotes around a value that begins with @, ` or %."
    else:
        remedy = "Check indentation, colons and quotes here and on the line above."
    if place.line > len(lines):  # PyYAML names the end of the text
        place = SourcePlace(len(lines), (len(lines[-1]) + 1,) * 2)
    return TextError(place, f"not valid YAML: {problem}.", remedy)


def _is_unclosed(error: yaml.MarkedYAMLError) -> bool:
    """Return whether an error is found at the end, or on a later line than where the cause is."""
    if "end of" in (error.problem or ""):
        return True
    begin, end = error.context_mark, error.problem_mark
    is_flow = "flow" in (error.context or "")
    return is_flow and begin is not None and end is not None and begin.line < end.line


class _Builder:
    """Turns nodes into values. Counts values and nesting, which aliases can multiply."""

    def __init__(self, document: Document, environ: Mapping[str, str], lines: list[str]) -> None:
        self.document = document
        self.lines = lines
        self.environ = environ
        self.open: list[yaml.Node] = []
        self.values = 0

    def build(self, node: yaml.Node, path: Path) -> Any:
        self.document.value_places[path] = place_of(node, self.lines)
        self.values += 1
        if self.values > MAX_VALUES:
            if self.values == MAX_VALUES + 1:
                self._refuse(node, f"found more than {MAX_VALUES} values.", "Use fewer aliases.")
            self.document.refused.add(path)
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if node in self.open:
            found = "found an alias that contains itself."
            return self._refuse(node, found, "Write the value out.", path)
        if len(self.open) >= MAX_DEPTH:  # only aliases nest deeper than the text
            return self._refuse(node, f"found more than {MAX_DEPTH} levels.", "Flatten it.", path)
        self.open.append(node)
        try:
            return self._collection(node, path)
        finally:
            self.open.pop()

    def _collection(self, node: yaml.Node, path: Path) -> Any:
        if node.tag not in (_CORE + "map", _CORE + "seq"):
            return self._tagged(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        found: dict[str, Any] = {}
        for key, (place, value) in self._pairs(node).items():
            self.document.key_places[(*path, key)] = place
            found[key] = self.build(value, (*path, key))
        return found

    def _pairs(self, node: yaml.Node) -> dict[str, tuple[SourcePlace, yaml.Node]]:
        """Return a mapping's keys with place and value. Its own win over those that `<<` merges."""
        pairs: dict[str, tuple[SourcePlace, yaml.Node]] = {}
        merged: list[yaml.Node] = []
        for key, value in node.value:
            if key.tag == _CORE + "merge":
                merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
            elif not isinstance(key, yaml.ScalarNode):
                self._refuse(
                    key, "found a key that is not a string.", "Write a plain word as the key."
                )
            elif key.value in pairs:
                self._refuse(
                    key,
                    f"found the key {key.value!r} twice, first on line {pairs[key.value][0].line}.",
                    "Keep one.",
                )
            else:
                pairs[key.value] = (place_of(key, self.lines), value)
        for other in merged:
            if not isinstance(other, yaml.MappingNode) or other is node or other in self.open:
                self._refuse(
                    other,
                    "found << with something other than a mapping.",
                    "Remove it.",
                )
                continue
            self.open.append(other)
            for name, pair in self._pairs(other).items():
                pairs.setdefault(name, pair)
            self.open.pop()
        return pairs

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        if node.tag in _IMPLICIT:
            value = _plain(node.value)
        elif node.tag == _CORE + "str":
            value = node.value
        else:
            return self._tagged(node, path)
        if not isinstance(value, str):
            return value
        resolved = resolve(value, self.environ)
        if resolved.text != value:
            self.document.written[path] = value
        if resolved.problems:
            for found, remedy in resolved.problems:
                self._refuse(node, found, remedy, path)
            return value
        return resolved.text

    def _tagged(self, node: yaml.Node, path: Path) -> None:
        self._refuse(node, "found a YAML tag (!...).", "Remove it: write a plain value.", path)

    def _refuse(self, node: yaml.Node, found: str, remedy: str, path: Path | None = None) -> None:
        """Add an error. `path`: the value that cannot be used; None if it is only left out."""
        if path is not None:
            self.document.refused.add(path)
        self.document.errors.append(TextError(place_of(node, self.lines), found, remedy))


def _plain(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
