"""The parser of a command: its help ends with examples, and a mistyped word gets a suggestion.

Also the options that commands share. Imports nothing heavy, so that every command starts fast.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

Commands = Any  # what add_subparsers returns
CONFIG = "the proxy's YAML file (default: LLMPROXY_CONFIG, else llmproxy.yaml)"
REQUIRED = "the following arguments are required: "  # argparse's words
PLACEHOLDERS = {"COMMAND": "command", "ACTION": "action"}


class CommandParser(argparse.ArgumentParser):
    """A parser of one command. `examples`: whole lines, as they are typed; an action has those of
    its command (`parent`) that name it."""

    def __init__(
        self,
        *arguments: Any,
        examples: Sequence[str] = (),
        parent: CommandParser | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        inherited = () if parent is None else parent.examples
        self.examples: tuple[str, ...] = tuple(examples) or tuple(
            example for example in inherited if example.startswith(f"{self.prog} ")
        )
        self._words: list[str] = []
        # The innermost parser is the one that knows its options.
        self.set_defaults(parser=self)

    def add_subparsers(self, **options: Any) -> Any:
        """Return what adds the parsers of actions."""
        options["parser_class"] = partial(CommandParser, parent=self)
        return super().add_subparsers(**options)

    def format_help(self) -> str:
        """Return the help with its examples."""
        text = super().format_help()
        if not self.examples:
            return text
        title = "example" if len(self.examples) == 1 else "examples"
        return "\n".join([text, f"{title}:", *(f"  {example}" for example in self.examples), ""])

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; leave with status 2 if a word is wrong."""
        options, extras = self.parse_known_args(args, namespace)
        if extras:
            options.parser.error(f"unrecognized arguments: {' '.join(extras)}")
        return options

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Remember the words, so that `error` can look for a mistyped one."""
        self._words = list(args or ())
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Print the usage and what is wrong, and leave with status 2."""
        super().error("\n".join([message, *self._mistyped(), *self._left_out(message)]))

    def commands(self) -> dict[str, CommandParser]:
        """Return the parsers of commands or actions by name; empty if there are none."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                return dict(action.choices)
        return {}

    def actions(self) -> list[argparse.Action]:
        """Return the options and positional arguments, in the order of the help."""
        return list(self._actions)

    def known_options(self) -> list[str]:
        """Return the long options, in the order of the help."""
        return [name for name in self._option_string_actions if name.startswith("--")]

    def _mistyped(self) -> Iterable[str]:
        """Yield a line for each option that there is not, but nearly."""
        known = self.known_options()
        for word in self._words:
            option = word.partition("=")[0]
            if not option.startswith("--") or any(name.startswith(option) for name in known):
                continue
            if meant := similar(option, known):
                yield f"{option}: did you mean {meant}?"

    def _left_out(self, message: str) -> Iterable[str]:
        """Yield the choices of each argument that argparse's message says is required."""
        names = message.removeprefix(REQUIRED).split(", ") if message.startswith(REQUIRED) else []
        for action in self._actions:
            name = action.metavar or action.dest
            if action.choices is not None and name in names:
                yield f"{name} is one of: {', '.join(map(str, action.choices))}."

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a value that is no choice, with the likely one."""
        if action.choices is None or value in action.choices:
            return
        choices = list(map(str, action.choices))
        what = PLACEHOLDERS.get(str(action.metavar), "value")
        meant = similar(str(value), choices)
        hint = f"Did you mean {meant}?" if meant else f"There are: {', '.join(choices)}."
        raise argparse.ArgumentError(action, f"there is no {what} {value!r}. {hint}")


def similar(word: str, known: Sequence[str]) -> str | None:
    """Return the known word that was probably meant; None if none is near."""
    from difflib import get_close_matches  # noqa: PLC0415 - only after a mistake

    near = get_close_matches(word, known, n=1, cutoff=0.6)
    return near[0] if near else None


def add_config(parser: argparse.ArgumentParser, *, also_plain: bool = False) -> None:
    """Add --config. `also_plain`: the file may also be given without the option."""
    named = parser.add_mutually_exclusive_group() if also_plain else parser
    named.add_argument("--config", type=Path, metavar="FILE", help=CONFIG)
    if also_plain:
        named.add_argument(
            *("config",),
            nargs="?",
            type=Path,
            metavar="FILE",
            action=_IfGiven,
            help="the same without --config",
        )


class _IfGiven(argparse.Action):
    """Store a value, unless there is none: it would take the place of what --config says."""

    def __call__(self, _: Any, namespace: argparse.Namespace, values: Any, *__: Any) -> None:
        if values is not None:
            setattr(namespace, self.dest, values)


def add_running_proxy(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which running proxy is asked."""
    add_config(parser)
    add_url(parser)


def add_url(parser: argparse.ArgumentParser) -> None:
    """Add --url."""
    parser.add_argument("--url", help="the address of the proxy (default: from its config)")


def add_address(parser: argparse.ArgumentParser, *, default: str) -> None:
    """Add --host and --port. `default`: whose values are used without them."""
    parser.add_argument(
        "--host",
        type=host,
        help=f"the address to listen on (default: {default}127.0.0.1), or unix:PATH",
    )
    parser.add_argument("--port", type=port, help=f"the port to listen on (default: {default}4000)")


def host(text: str) -> str:
    """Parse an address to listen on: IPv6 also in brackets, of a UNIX socket `unix:/PATH`."""
    from llmproxy.batteries.addresses import MAX_UNIX_PATH, UNIX  # noqa: PLC0415 - it takes time

    if not text.startswith(UNIX):
        return text[1:-1] if text.startswith("[") and text.endswith("]") else text
    path = text.removeprefix(UNIX)
    if path.startswith("/") and path.isprintable() and len(path.encode()) <= MAX_UNIX_PATH:
        return text
    raise argparse.ArgumentTypeError(
        f"expected unix:/path, of at most {MAX_UNIX_PATH} bytes after unix:, found {text!r}"
    )


def port(text: str) -> int:
    """Parse a TCP port; 0 = any free one."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"expected 0 to 65535, found {text!r}")
    return int(text)
