"""A config file, checked as a whole, as `llmproxy check` does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic

from llmproxy.batteries.config_file.files import unwritable_files
from llmproxy.batteries.config_file.loading import config_text, parse_config
from llmproxy.batteries.config_file.withdrawn import notices
from llmproxy.batteries.settings import FullConfig, full
from llmproxy.errors import ConfigError, Problem
from llmproxy.providers import endpoints_of

logger = logging.getLogger("llmproxy")


def _unchanged(config: FullConfig) -> FullConfig:
    return config


def _no_check(_config: FullConfig, *, file: str) -> None:
    """Accept every config."""


class ConfigFile:
    """A config file, and what was read from it.

    `environ`: resolves the references in the file. `check`: raises ConfigError for what this
    installation cannot do. `amend`: adds what is not in the file; may raise ConfigError.
    `served`, `seen`, `seen_at`: for the reload (`ConfigSource` in `llmproxy.batteries.reload`).
    """

    def __init__(
        self,
        path: Path,
        environ: Mapping[str, str],
        *,
        check: Callable[..., None] = _no_check,
        amend: Callable[[FullConfig], FullConfig] = _unchanged,
    ) -> None:
        self.path = path
        self.environ = environ
        self.check = check
        self.amend = amend
        self.served = ""
        self.seen = ""
        self.seen_at = 0.0

    def __str__(self) -> str:
        return str(self.path)

    def load(self) -> FullConfig:
        """Read and parse the file. Raises ConfigError with every problem."""
        self.served = self.seen = config_text(self.path)
        return self.parsed(self.seen)

    def look(self) -> tuple[str, ConfigError | None]:
        """Return the text of the file, or why it cannot be read."""
        try:
            return config_text(self.path), None
        except ConfigError as error:
            return str(error), error

    def note(self, seen: str) -> None:
        """Remember what `look` returned, and when."""
        self.seen, self.seen_at = seen, monotonic()

    def parsed(self, text: str) -> FullConfig:
        """Parse and check a text of this file. Raises ConfigError with every problem."""
        file = str(self.path)
        config = parse_config(text, self.environ, file=file, look_further=self._problems_of)
        for notice in notices(full(config.general_settings)):
            logger.warning(notice)
        return self.amend(config)

    def _problems_of(self, config: FullConfig) -> list[Problem]:
        """Return what is wrong with its endpoints and files, and what is not installed."""
        file = str(self.path)
        problems: list[Problem] = [*unwritable_files(config.general_settings, file)]
        for check in (endpoints_of, self.check):
            try:
                check(config, file=file)
            except ConfigError as error:
                problems += error.problems
        return problems
