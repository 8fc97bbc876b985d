"""The completion script of fish. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmproxy.tools.completion.words import CommandPlace, Option, Value

HEAD = """\
# Completion of llmproxy for fish, written by `llmproxy completion fish`.
complete -c llmproxy -f
"""


def script(places: Sequence[CommandPlace]) -> str:
    """Return the script."""
    return HEAD + "\n".join([line for place in places for line in _lines(place)]) + "\n"


def _lines(place: CommandPlace) -> Iterator[str]:
    here = _condition(place)
    for name, text in place.words:
        yield f"complete -c llmproxy -n {here} -a {_quoted(name)} -d {_quoted(text)}"
    for option in place.options:
        yield f"complete -c llmproxy -n {here} {_option(option)} -d {_quoted(option.text)}"
    if place.takes_file:
        yield f"complete -c llmproxy -n {here} -F"


def _condition(place: CommandPlace) -> str:
    """Return the test for being at a place: its words are there, and none that leads further."""
    if not place.path:
        return "__fish_use_subcommand"
    parts = [f"__fish_seen_subcommand_from {word}" for word in place.path]
    if place.words:
        further = " ".join(name for name, _ in place.words)
        parts.append(f"not __fish_seen_subcommand_from {further}")
    return _quoted("; and ".join(parts))


def _option(option: Option) -> str:
    name = f"-l {option.name.removeprefix('--')}"
    match option.value:
        case Value.NONE:
            return name
        case Value.FILE:
            return f"{name} -r -F"
        case Value.CHOICE:
            return f"{name} -x -a {_quoted(' '.join(option.choices))}"
    return f"{name} -x"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
