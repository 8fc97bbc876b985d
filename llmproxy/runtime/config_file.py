"""The file that a config comes from, read again whenever somebody asks.

It is checked whole, as `llmproxy check` does, or refused whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from llmproxy.config import Config, config_text, parse_config
from llmproxy.providers import endpoints_of
from llmproxy.telemetry.tracing.opening import require_sdk


def _as_it_is(config: Config) -> Config:
    return config


class ConfigFile:
    """`environ`: what references in the file are resolved with. `amend`: what is to be added that
    the file does not say; may raise ConfigError."""

    def __init__(
        self,
        path: Path,
        environ: Mapping[str, str],
        *,
        amend: Callable[[Config], Config] = _as_it_is,
    ) -> None:
        self.path = path
        self.environ = environ
        self.seen = ""  # what it said when it was loaded
        self.amend = amend

    def load(self) -> Config:
        """What it says now. Raises ConfigError with every problem."""
        self.seen = self.text()
        return self.parsed(self.seen)

    def text(self) -> str:
        """What stands in it now. Raises ConfigError if it cannot be read."""
        return config_text(self.path)

    def parsed(self, text: str) -> Config:
        """The config that a text of the file's means. Raises ConfigError with every problem."""
        config = parse_config(text, self.environ, file=str(self.path))
        endpoints_of(config, file=str(self.path))
        if config.general_settings.tracing is not None:
            require_sdk(file=str(self.path))
        return self.amend(config)
