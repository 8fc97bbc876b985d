"""Reads a Dockerfile, its stages with their instructions in order, and a .dockerignore."""

import fnmatch
import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Instruction:
    """One instruction. `flags`: `--name=value` before its text."""

    name: str
    text: str
    flags: dict[str, str] = field(default_factory=dict)

    @property
    def words(self):
        """The words of the exec form, or None if a shell would have to read the text."""
        text = self.text.removeprefix("CMD").strip()
        return json.loads(text) if text.startswith("[") else None

    @property
    def pairs(self):
        """`NAME=value` of an ENV, ARG or LABEL; a name without a value has None."""
        split = (word.partition("=") for word in shlex.split(self.text))
        return {name: value if equals else None for name, equals, value in split}


@dataclass
class Stage:
    """What stands between one FROM and the next."""

    base: str
    name: str | None
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, name):
        return [step for step in self.instructions if step.name == name]

    def only(self, name):
        (step,) = self.all(name)
        return step


def read(text):
    """Return the arguments before the first FROM, and the stages."""
    arguments, stages = {}, []
    for step in _instructions(text):
        if step.name == "FROM":
            base, *named = step.text.split()
            stages.append(Stage(base, named[1] if named else None))
        elif stages:
            stages[-1].instructions.append(step)
        else:
            arguments |= step.pairs
    return arguments, stages


def _instructions(text):
    kept = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n", " ", kept).splitlines():
        if not line.strip():
            continue
        name, rest = line.strip().split(maxsplit=1)
        flags = {}
        while found := re.match(r"--([\w-]+)=(\S+)\s+", rest):
            flags[found[1]] = found[2]
            rest = rest[found.end() :]
        yield Instruction(name.upper(), " ".join(rest.split()), flags)


def is_sent(path, project):
    """Whether .dockerignore lets a file pass: the last line that matches it or a parent decides."""
    sent = True
    ignored = (project / ".dockerignore").read_text(encoding="utf-8").splitlines()
    parents = [path, *(str(parent) for parent in Path(path).parents if str(parent) != ".")]
    for line in ignored:
        pattern = line.removeprefix("!")
        if pattern and not pattern.startswith("#") and any(_matches(p, pattern) for p in parents):
            sent = line.startswith("!")
    return sent


def _matches(path, pattern):
    if pattern.startswith("**/"):
        return any(fnmatch.fnmatch(part, pattern[3:]) for part in Path(path).parts)
    return path.count("/") == pattern.count("/") and fnmatch.fnmatch(path, pattern)
