"""Which parts of a config's lines may not be shown, because they hold or may hold a secret.

Decided on the text, and not on the values: a problem may be in a part that never becomes a value,
such as the second of two equal keys. References (`os.environ/NAME`) are shown as they are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import yaml

from llmproxy.batteries.config_file.document import MAX_DEPTH, is_too_deep
from llmproxy.batteries.config_file.places import BREAK
from llmproxy.batteries.config_file.raw import Path
from llmproxy.batteries.config_file.references import names_a_variable
from llmproxy.batteries.config_file.remedies import is_known_key, is_secret

# Line number and columns, all from 0; the second column is the first one that may be shown again.
Hidden = tuple[int, int, int]

_HARMLESS = re.compile(r"\S{0,4}|true|false|True|False|null")  # also of a key that is unknown
_KEY = re.compile(r"[\s\-{\[,]*[\"']?(?P<key>[A-Za-z_][\w-]*)[\"']?\s*:(?:\s+|$)")
_COMMENT = re.compile(r"(?:^|(?<=\s))#.*$")


def hidden_parts(text: str) -> list[Hidden]:
    """Return the parts of a config's text that may not be shown, comments among them."""
    lines = BREAK.split(text)
    nodes = _nodes(text)
    if nodes is None:
        return [part for number in range(len(lines)) for part in _of_line(lines, number)]
    hidden: list[Hidden] = []
    shown: list[Hidden] = []
    for node, is_hidden in nodes:
        (hidden if is_hidden else shown).extend(_parts(node, lines))
    # In YAML that can be parsed, a comment begins where no scalar is.
    for number, line in enumerate(lines):
        for comment in re.finditer(r"(?:^|(?<=\s))#", line):
            at = comment.start()
            if not any(n == number and a <= at < b for n, a, b in (*hidden, *shown)):
                hidden.append((number, at, len(line)))
                break
    return hidden


def holds_secret(text: str) -> bool:
    """Return whether a config that can be parsed holds a secret itself, instead of a reference."""
    root = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return root is not None and any(
        _is_literal_secret(path, node.value) for node, path in _with_paths(root, ())
    )


def _is_literal_secret(path: Path, text: str) -> bool:
    if not is_secret(path) or "${" in text or "os.environ/" in text:
        return False
    if text.lower() in ("", "true", "false", "null") or text.isdecimal():  # keys_required: true
        return False
    if "tls" in path:  # the path of a file, unless somebody has put the file itself there
        return "BEGIN" in text
    names = [part for part in path if isinstance(part, str)]
    if any(name.endswith("tokens") for name in names) or names[-1:] == ["key_sha256"]:
        return False
    return "://" not in text or "@" in text


def _with_paths(node: yaml.Node, path: Path) -> Iterator[tuple[yaml.ScalarNode, Path]]:
    if isinstance(node, yaml.ScalarNode):
        yield node, path
        return
    for index, item in enumerate(node.value):
        if isinstance(item, tuple):
            yield from _with_paths(item[1], (*path, str(item[0].value)))
        else:
            yield from _with_paths(item, (*path, index))


def _nodes(text: str) -> list[tuple[yaml.ScalarNode, bool]] | None:
    """Return the scalars of a text, and whether each is hidden; None if it cannot be parsed."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        if is_too_deep(text, loader):
            return None
        root = yaml.compose(text, Loader=loader)
    except yaml.YAMLError:
        return None
    return [] if root is None else list(_scalars(root, (), set()))


def _scalars(
    node: yaml.Node, path: Path, seen: set[tuple[int, bool]]
) -> Iterator[tuple[yaml.ScalarNode, bool]]:
    """Yield each scalar below a node once, or twice if it is a secret in one of its places."""
    is_hidden = not path or is_secret(path)
    if (id(node), is_hidden) in seen or len(path) > MAX_DEPTH:
        return
    seen.add((id(node), is_hidden))
    if isinstance(node, yaml.ScalarNode):
        unknown = not is_known_key(next((p for p in reversed(path) if isinstance(p, str)), ""))
        yield node, _is_hidden(node, is_secret=is_hidden, is_unknown=unknown)
        return
    for index, item in enumerate(node.value):
        if isinstance(item, tuple):
            key, value = item
            name = key.value if isinstance(key, yaml.ScalarNode) else "?"
            if isinstance(key, yaml.ScalarNode):
                yield key, False
            if name == "<<" and key.tag.endswith(":merge"):
                yield from _scalars(value, path, seen)
            else:
                yield from _scalars(value, (*path, name), seen)
        else:
            yield from _scalars(item, (*path, index), seen)


def _is_hidden(node: yaml.ScalarNode, *, is_secret: bool, is_unknown: bool) -> bool:
    text = node.value
    if names_a_variable(text):
        return False
    if is_secret:
        return bool(text)
    if "://" in text and ("@" in text or "?" in text):
        return True
    return is_unknown and _HARMLESS.fullmatch(text) is None


def _parts(node: yaml.Node, lines: Sequence[str]) -> Iterator[Hidden]:
    """Yield the parts of the lines that a scalar is on."""
    start, end = node.start_mark, node.end_mark
    for number in range(start.line, min(end.line, len(lines) - 1) + 1):
        first = start.column if number == start.line else 0
        last = end.column if number == end.line else len(lines[number])
        if first < last:
            yield number, first, last


# ---- a text that is no YAML: by its lines and their indentation


def _of_line(lines: Sequence[str], number: int) -> Iterator[Hidden]:
    """Yield what may not be shown of a line: what stands behind a key that is unknown or holds a
    secret, or below such a key, and every line without a key."""
    line = lines[number]
    comment = _COMMENT.search(line)
    end = len(line) if comment is None else comment.start()
    if comment is not None:
        yield number, end, len(line)
    begin = len(line) - len(line.lstrip(" \t-"))
    path, matches = _above(lines, number), list(_KEY.finditer(line, 0, end))
    if not matches or is_secret(path):
        if begin < end and not names_a_variable(line[begin:end].strip()):
            yield number, begin, end
        return
    at = 0
    while match := _KEY.match(line, at, end):
        path, at = (*path, match["key"]), match.end()
    rest = line[at:end].strip().strip("\"'")
    plain = _HARMLESS.fullmatch(rest) or names_a_variable(rest)
    is_simple = is_known_key(str(path[-1])) and not re.search(r"[:,{}\[\]@?]", rest)
    if at < end and not plain and (is_secret(path) or not is_simple):
        yield number, at, end


def _above(lines: Sequence[str], number: int) -> Path:
    """Return the keys that a line is indented below."""
    path: Path = ()
    indent = _indent(lines[number])
    for line in reversed(lines[:number]):
        if line.strip() and _indent(line) < indent and (match := _KEY.match(line)):
            indent = _indent(line)
            path = (match["key"], *path)
    return path


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t-"))
