"""Run `llmproxy init`: asks, checks, and writes both files, or nothing."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from llmproxy.batteries.config_file import FILE_NAMES, parse_config, served_file
from llmproxy.tools.init.plan import (
    LOCAL,
    Plan,
    WrongAnswer,
    address_of,
    found_vendors,
    models_of,
    proposed_models,
    vendors_of,
)
from llmproxy.tools.init.writing import (
    ADMIN_KEY,
    CLIENT_KEY,
    config_text,
    missing_variables,
    variables_text,
)

VARIABLES_FILE = "llmproxy.env"
NO_TERMINAL = """\
llmproxy init: there is no terminal to ask at. --yes takes every proposal; --vendors, --models,
--listen and --callers are the answers."""

_AnswerT = TypeVar("_AnswerT")
Ask = Callable[[str], str]


def run(
    options: argparse.Namespace, environ: Mapping[str, str] = os.environ, ask: Ask = input
) -> int:
    """Ask, and write; return the exit status. Raises ConfigError."""
    config = options.config or served_file(None, environ) or Path(FILE_NAMES[0])
    variables = config.with_name(VARIABLES_FILE)
    for file in (config, variables):
        if file.exists() and not options.force:
            return _tell(f"{file}: this file exists. --force replaces it; --config names another.")
    if not options.yes and ask is input and not sys.stdin.isatty():
        return _tell(NO_TERMINAL)
    try:
        plan = _plan(options, environ, ask)
    except WrongAnswer as error:
        return _tell(f"llmproxy init: {error}")
    except EOFError:
        return _tell("\nNothing was written.")
    made = {CLIENT_KEY: _key()} if plan.with_key else {}
    if plan.is_open:
        made[ADMIN_KEY] = _key()
    text = config_text(plan)
    filled = dict.fromkeys(missing_variables(plan, environ), "https://x.openai.azure.com")
    parse_config(text, {**environ, **filled, **made}, file=str(config))
    _write(config, text, 0o644)
    _write(variables, variables_text(plan, environ, made), 0o600)
    _print_next_steps(plan, config, variables, missing_variables(plan, environ))
    return 0


def _plan(options: argparse.Namespace, environ: Mapping[str, str], ask: Ask) -> Plan:
    """Return the answers to the four questions. Raises WrongAnswer for an option's."""
    found = found_vendors(environ)
    question = _Questions(ask, silent=options.yes)
    vendors = question.answer(
        options.vendors,
        "1. Which vendors? Names with commas, such as openai, azure, anthropic, gemini, bedrock."
        + (f"\n   Keys in the environment: {', '.join(found)}." if found else ""),
        ",".join(found) or "openai",
        lambda text: vendors_of(text, environ),
    )
    models = question.answer(
        options.models,
        "2. Which models? Names with commas. NAME is served by every vendor, the first one first;\n"
        "   VENDOR/NAME by that one; a star stands for every name.",
        proposed_models(vendors),
        lambda text: models_of(text, vendors),
    )
    host, port = question.answer(
        options.listen,
        "3. Where does it listen? 127.0.0.1: for this machine; 0.0.0.0: for other machines, too.",
        "127.0.0.1:4000",
        address_of,
    )
    callers = question.answer(
        options.callers,
        "4. Who may call? anyone: whoever reaches the address; key: whoever has the key that is\n"
        "   made now.",
        "anyone" if host in LOCAL else "key",
        _callers,
    )
    return Plan(vendors, models, host, port, with_key=callers == "key")


class _Questions:
    """Asks until an answer can be used. `silent`: takes every proposal."""

    def __init__(self, ask: Ask, *, silent: bool) -> None:
        self._ask = ask
        self._silent = silent

    def answer(
        self, given: str | None, question: str, proposal: str, parse: Callable[[str], _AnswerT]
    ) -> _AnswerT:
        """Return the answer: that of the option, or what the person says."""
        if given is not None:
            return parse(given)
        if self._silent:
            return parse(proposal)
        while True:
            try:
                return parse(self._ask(f"{question}\n   [{proposal}] ").strip() or proposal)
            except WrongAnswer as error:
                print(f"   {error}", file=sys.stderr)  # noqa: T201


def _callers(text: str) -> str:
    if text not in ("anyone", "key"):
        raise WrongAnswer(f"Expected anyone or key, found {text!r}.")
    return text


def _key() -> str:
    return f"sk-llmproxy-{secrets.token_urlsafe(24)}"


def _write(file: Path, text: str, mode: int) -> None:
    """Write a file that appears whole, or not at all."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(text)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def _print_next_steps(plan: Plan, config: Path, variables: Path, missing: list[str]) -> None:
    steps = [f"Written: {config} and {variables}.", ""]
    if missing:
        steps.append(f"Fill in {', '.join(missing)} in {variables}. Then:")
    named = "" if config.name in FILE_NAMES and config.parent == Path() else f" --config {config}"
    steps += [
        f"  set -a; . {variables if variables.is_absolute() else f'./{variables}'}; set +a",
        f"  llmproxy check{named}",
        f"  llmproxy serve{named}",
    ]
    host = "127.0.0.1" if plan.is_open else plan.host
    steps += ["", f"Clients use http://{f'[{host}]' if ':' in host else host}:{plan.port}/v1."]
    if plan.with_key:
        steps.append(f"Their API key is {CLIENT_KEY} of {variables}.")
    print("\n".join(steps))  # noqa: T201


def _tell(wrong: str) -> int:
    print(wrong, file=sys.stderr)  # noqa: T201
    return 2
