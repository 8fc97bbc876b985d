"""`llmproxy completion`: its options, and its run."""

from __future__ import annotations

import argparse

from llmproxy.tools.command_parser import Commands

DESCRIPTION = """\
Print a script that completes the commands, options and files of llmproxy in your shell. Run it
again after an upgrade."""
EXAMPLES = (
    "llmproxy completion bash > ~/.local/share/bash-completion/completions/llmproxy",
    "llmproxy completion zsh > ~/.zfunc/_llmproxy",
    "llmproxy completion fish > ~/.config/fish/completions/llmproxy.fish",
)
SHELLS = ("bash", "zsh", "fish")


def add_commands(commands: Commands) -> list[argparse.ArgumentParser]:
    """Add the command; return its parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "completion",
        help="print a script that completes words in your shell",
        description=DESCRIPTION,
        examples=EXAMPLES,
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell that you use")
    return [parser]


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    from llmproxy.tools.completion import bash, fish, zsh  # noqa: PLC0415 - other commands start fast
    from llmproxy.tools.completion.words import places_of  # noqa: PLC0415

    script = {"bash": bash.script, "zsh": zsh.script, "fish": fish.script}[options.shell]
    print(script(list(places_of(options.whole()))), end="")  # noqa: T201
    return 0
