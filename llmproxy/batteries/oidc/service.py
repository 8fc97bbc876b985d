"""The issuers of a process, whose tokens callers send and where operators sign in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec

from llmproxy.batteries.background import background
from llmproxy.batteries.oidc.identities import TokenIdentities
from llmproxy.batteries.oidc.issuers import Issuers
from llmproxy.batteries.settings import full
from llmproxy.config import Config
from llmproxy.errors import ConfigError, Problem


class Oidc:
    """One for each process; composition makes it. `identities`: the callers behind tokens."""

    def __init__(self) -> None:
        self.issuers = Issuers()
        self.identities = TokenIdentities(self.issuers)

    def check(self, config: Config, *, file: str) -> None:
        """Raise ConfigError, naming the file, if what checks signatures is missing."""
        if full(config.general_settings).jwt and find_spec("joserfc") is None:
            found = "general_settings.jwt: the package joserfc is missing."
            remedy = "pip install 'llmproxy[jwt]'"
            raise ConfigError([Problem(file, 0, found, remedy, ("general_settings", "jwt"))])

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Keep reading what the issuers publish until the block ends."""
        async with background(self.issuers.keep_reading):
            yield
