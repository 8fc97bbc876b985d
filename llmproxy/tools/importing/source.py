"""A config of another gateway: its values with their lines, and which of them were looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from llmproxy.errors import ConfigError, Problem

Key = str | int
Place = tuple[Key, ...]
MAX_VALUES = 200_000  # nested aliases multiply
MAX_NUMBER = 10**15  # no limit, price or time of a config is larger; nan and infinity are not less


class SourceFile:
    """The values of one file, YAML or JSON.

    `read`: places whose values were taken. `opened`: places whose parts were looked at one by one.
    """

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.lines: dict[Place, int] = {(): 1}
        self.read: set[Place] = set()
        self.opened: set[Place] = {()}
        self._count = 0
        self.value = self._parsed(text)
        self._unwrap()

    @property
    def root(self) -> SourcePart:
        """Return the whole file, a mapping. Raises ConfigError if it is something else."""
        if not isinstance(self.value, dict):
            raise self._wrong(1, "expected key: value lines, found something else.")
        return SourcePart(self, (), self.value)

    def line(self, place: Place) -> int:
        """Return the line of a place, or that of the closest one around it."""
        while place not in self.lines:
            place = place[:-1]
        return self.lines[place]

    def unread(self) -> Iterator[tuple[Place, Any]]:
        """Yield the outermost places that nobody looked at, and their values."""
        yield from self._unread((), self.value)

    def _unread(self, place: Place, value: Any) -> Iterator[tuple[Place, Any]]:
        if place in self.read:
            return
        if place not in self.opened:
            yield place, value
            return
        items: Any = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from self._unread((*place, key), inner)

    def _parsed(self, text: str) -> Any:
        if text.lstrip()[:1] in ("{", "["):
            text = text.replace("\t", "  ")  # JSON may be indented so; its strings have no tabs
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            return None if node is None else self._built(node, ())
        except (yaml.YAMLError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            line = 1 if mark is None else mark.line + 1
            problem = getattr(error, "problem", None) or "it cannot be parsed"
            raise self._wrong(line, f"not valid YAML or JSON: {problem}.") from error

    def _unwrap(self) -> None:
        """Take the config out of what deploys it: values of LiteLLM's chart, or a ConfigMap."""
        if not isinstance(self.value, dict):
            return
        if isinstance(self.value.get("proxy_config"), dict):
            self.value, wrapper = self.value["proxy_config"], "proxy_config"
            inside = {p[1:]: line for p, line in self.lines.items() if p[:1] == (wrapper,)}
            self.lines = inside
        elif self.value.get("kind") == "ConfigMap" and isinstance(self.value.get("data"), dict):
            for name, text in self.value["data"].items():
                if isinstance(text, str) and name.endswith((".yaml", ".yml", ".json")):
                    before = self.lines["data", name]  # the text begins in the next line
                    self.lines = {(): 1}
                    self.value = self._parsed(text)
                    self.lines = {place: line + before for place, line in self.lines.items()}
                    return

    def _built(self, node: yaml.Node, place: Place) -> Any:
        self.lines.setdefault(place, node.start_mark.line + 1)
        self._count += 1
        if self._count > MAX_VALUES or len(place) > 50:
            raise self._wrong(node.start_mark.line + 1, "found too many values, or too deep ones.")
        if isinstance(node, yaml.SequenceNode):
            return [self._built(item, (*place, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            found: dict[str, Any] = {}
            for key, value in self._pairs(node):
                name = str(key.value)
                self.lines[(*place, name)] = key.start_mark.line + 1
                found[name] = self._built(value, (*place, name))
            return found
        loader = yaml.SafeLoader("")
        value = loader.construct_object(node)
        return value if isinstance(value, bool | int | float | None) else str(node.value)

    def _pairs(self, node: yaml.MappingNode) -> list[tuple[yaml.Node, yaml.Node]]:
        """Return the pairs of a mapping, those that `<<` merges first."""
        own, merged = [], []
        for key, value in node.value:
            if key.tag != "tag:yaml.org,2002:merge":
                own.append((key, value))
                continue
            for other in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                merged += self._pairs(other)
        return merged + own

    def _wrong(self, line: int, found: str) -> ConfigError:
        return ConfigError([Problem(self.file, line, found, "Correct the file.")])


class SourcePart:
    """A mapping inside a source. Whatever is taken from it counts as read."""

    def __init__(self, source: SourceFile, place: Place, values: Mapping[str, Any]) -> None:
        self.source = source
        self.place = place
        self._values = values
        source.opened.add(place)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def take(self, key: str) -> Any:
        """Return a value with all that is in it; None if there is none."""
        if key in self._values:
            self.source.read.add((*self.place, key))
        return self._values.get(key)

    def peek(self, key: str) -> Any:
        """Return a value that does not count as read."""
        return self._values.get(key)

    def text(self, key: str) -> str | None:
        """Take a text, or a number as its text; None if it is empty. Others stay unread."""
        value = self._values.get(key)
        if isinstance(value, bool | list | dict):
            return None
        self.take(key)
        return None if value is None else str(value).strip() or None

    def reference(self, key: str) -> str | None:
        """Take a variable of the environment. What is none stays unread."""
        value = self._values.get(key)
        if isinstance(value, str) and is_reference(value):
            self.take(key)
            return value
        return None

    def number(self, key: str) -> float | int | None:
        """Take a number from 0, also one in quotes. What is none stays unread."""
        value = self._values.get(key)
        found = as_number(value)
        if found is not None and found < 0:
            return None
        if found is not None or value is None:
            self.take(key)
        return found

    def whole(self, key: str) -> int | str | None:
        """Take a whole number from 0, or a reference to one. What is neither stays unread."""
        if (reference := self.reference(key)) is not None:
            return reference
        found = as_number(self._values.get(key))
        if found is not None and found != int(found):
            return None
        found = self.number(key)
        return None if found is None else int(found)

    def mapping(self, key: str) -> dict[str, Any]:
        """Take a mapping; an empty one if there is none. What is no mapping stays unread."""
        value = self._values.get(key)
        if value is None or isinstance(value, dict):
            self.take(key)
        return value if isinstance(value, dict) else {}

    def texts(self, key: str) -> list[str]:
        """Take a list of texts, or one text; anything else stays unread."""
        value = self._values.get(key)
        found = value if isinstance(value, list) else [] if value is None else [value]
        if any(isinstance(item, dict | list | bool | None) for item in found):
            return []
        self.take(key)
        return [str(item) for item in found]

    def part(self, key: str) -> SourcePart:
        """Return the mapping at a key; an empty one if there is none."""
        value = self._values.get(key)
        if isinstance(value, dict):
            return SourcePart(self.source, (*self.place, key), value)
        if value is None:
            self.take(key)
        return (
            SourcePart(self.source, (*self.place, key), {})
            if value is None
            else _nothing(self, key)
        )

    def parts(self, key: str) -> list[SourcePart]:
        """Return the mappings in the list at a key. What is no mapping stays unread."""
        value = self._values.get(key)
        if value is None:
            self.take(key)
        if not isinstance(value, list):
            return []
        place = (*self.place, key)
        self.source.opened.add(place)
        found = [(index, item) for index, item in enumerate(value) if isinstance(item, dict)]
        return [SourcePart(self.source, (*place, index), item) for index, item in found]

    def at(self, key: str | None = None) -> Place:
        """Return the place of a key, or of the part itself."""
        return self.place if key is None else (*self.place, key)


def as_number(value: Any) -> float | int | None:
    """Return a finite number, also one in quotes; None if it is none."""
    if isinstance(value, str):
        try:
            value = int(value) if value.strip().isdecimal() else float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < MAX_NUMBER else None


def is_reference(text: str) -> bool:
    """Return whether a text begins with a variable of the environment."""
    return text.startswith(("os.environ/", "${"))


def _nothing(part: SourcePart, key: str) -> SourcePart:
    """Return an empty part for a value that should be a mapping; the value stays unread."""
    empty = SourcePart.__new__(SourcePart)
    empty.source, empty.place, empty._values = part.source, part.at(key), {}
    return empty


def read_source(path: Path) -> SourceFile:
    """Read a file. Raises ConfigError."""
    try:
        return SourceFile(str(path), path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        problem = Problem(str(path), 0, "this file does not exist.", "Check the path.")
    except UnicodeDecodeError:
        problem = Problem(str(path), 0, "found bytes that are not UTF-8.", "Save it as UTF-8.")
    except OSError as error:
        found = f"the file cannot be read: {error.strerror}."
        problem = Problem(str(path), 0, found, "Check the path.")
    raise ConfigError([problem])


def dotted(place: Place) -> str:
    """Return a place in the form model_list[0].litellm_params.model."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place)
    return text.lstrip(".") or "the file"
