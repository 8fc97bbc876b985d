"""The issuers of a process, whose tokens callers send and where operators sign in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec

from llmproxy.batteries.background import background
from llmproxy.batteries.oidc.code_flow import CodeFlow
from llmproxy.batteries.oidc.identities import TokenIdentities
from llmproxy.batteries.oidc.issuers import Issuer, Issuers
from llmproxy.batteries.settings import SignIn, full
from llmproxy.config import Config
from llmproxy.errors import ConfigError, Problem


class Oidc:
    """One for each process; composition makes it. `identities`: the callers behind tokens,
    `code_flow`: how operators sign in.
    """

    def __init__(self) -> None:
        self.issuers = Issuers()
        self.identities = TokenIdentities(self.issuers)
        self.code_flow = CodeFlow()

    def check(self, config: Config, *, file: str) -> None:
        """Raise ConfigError, naming the file, if what checks signatures is missing."""
        settings = full(config.general_settings)
        for key in ("jwt", "sign_in"):
            if getattr(settings, key) is not None and find_spec("joserfc") is None:
                found = f"general_settings.{key}: the package joserfc is missing."
                remedy = "Run pip install 'llmproxy-gateway[jwt]'."
                raise ConfigError([Problem(file, 0, found, remedy, ("general_settings", key))])

    def issuer_of(self, settings: SignIn) -> Issuer:
        """Return where operators sign in. It is read in the background from now on."""
        return self.issuers.of(settings.issuer, None)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Keep reading what the issuers publish until the block ends."""
        async with background(self.issuers.keep_reading):
            yield
