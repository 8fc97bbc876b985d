"""What can stand at each place of a command line, read from the parsers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from llmproxy.tools.command_parser import CommandParser


class Value(Enum):
    """What follows an option."""

    NONE = auto()
    FILE = auto()
    CHOICE = auto()
    OTHER = auto()


@dataclass(frozen=True)
class Option:
    """An option of a command. `choices`: its values, if they are a list."""

    name: str
    text: str
    value: Value
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class CommandPlace:
    """A command or an action: the words before it and itself. `words`: what may follow, with what
    each is; `takes_file`: a file may, too."""

    path: tuple[str, ...]
    words: tuple[tuple[str, str], ...]
    options: tuple[Option, ...]
    takes_file: bool


def places_of(parser: CommandParser, path: tuple[str, ...] = ()) -> Iterator[CommandPlace]:
    """Yield the place of a parser, and those of its commands."""
    options, words, takes_file = [], [], False
    for action in parser.actions():
        if isinstance(action, argparse._SubParsersAction):
            words += [(choice.dest, choice.help or "") for choice in action._choices_actions]
        elif action.option_strings:
            options.append(_option(action))
        elif action.choices is not None:
            words += [(str(choice), "") for choice in action.choices]
        else:
            takes_file = takes_file or action.type is Path
    yield CommandPlace(path, tuple(words), tuple(options), takes_file)
    for name, command in parser.commands().items():
        yield from places_of(command, (*path, name))


def _option(action: argparse.Action) -> Option:
    name = action.option_strings[-1]
    text = "" if action.help in (None, argparse.SUPPRESS) else str(action.help).splitlines()[0]
    if action.nargs == 0:
        return Option(name, text, Value.NONE)
    if action.choices is not None:
        return Option(name, text, Value.CHOICE, tuple(map(str, action.choices)))
    return Option(name, text, Value.FILE if action.type is Path else Value.OTHER)
